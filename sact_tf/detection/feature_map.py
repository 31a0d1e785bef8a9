"""Features of a padded batch of images, and crops of them.

B images, H x W positions, C channels, P regions.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.conversion import is_converting

# A crop's last row must not fall behind the map by round-off: it would be extrapolated to zero.
_INSIDE = 1.0 - 1e-6


class FeatureMap(NamedTuple):
    """The extractor's last features.

    Attributes:
        values: [B, H, W, C].
        valid: bool [B, H, W], the positions that are not padding; or None, all of them.
        sizes: float32 [B, 2], height and width of each image's features without the padding.
        image_sizes: float32 [B, 2], height and width of each image without its padding, in pixels.
    """

    values: tf.Tensor
    valid: tf.Tensor | None
    sizes: tf.Tensor
    image_sizes: tf.Tensor


def sizes_without_padding(maps: tf.Tensor, valid: tf.Tensor | None) -> tf.Tensor:
    """Height and width of each image of a padded batch: [B, H, W, ...] -> float32 [B, 2]."""
    if valid is None:
        shape = tf.shape(maps)
        return tf.tile(tf.cast(shape[tf.newaxis, 1:3], tf.float32), [shape[0], 1])
    sides = [tf.reduce_any(valid, axis=axis) for axis in (2, 1)]
    return tf.stack([tf.reduce_sum(tf.cast(side, tf.float32), axis=1) for side in sides], axis=1)


def crop_regions(features: FeatureMap, regions: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Samples the features inside each region on a regular grid, bilinearly.

    The corners of an image are the centres of the first and last positions of its features.

    Args:
        features: the map.
        regions: [B, P, 4], in pixels.
        crop_size: rows and columns of a crop.

    Returns:
        [B * P, crop_size, crop_size, C], of the features' dtype.
    """
    values, _, sizes, image_sizes = features
    shape = tf.shape(values)
    last = tf.cast(shape[1:3], tf.float32) - 1.0
    # Whole map: positions over (H - 1), as tf.image.crop_and_resize counts.
    scale = tf.math.divide_no_nan(_INSIDE * (sizes - 1.0), image_sizes * last)
    boxes = regions * tf.concat([scale, scale], axis=-1)[:, tf.newaxis]
    owner = tf.repeat(tf.range(shape[0]), tf.shape(regions)[1])
    crop = _crop_by_gathers if is_converting() else tf.image.crop_and_resize
    crops = crop(
        tf.cast(values, tf.float32), tf.reshape(boxes, [-1, 4]), owner, [crop_size, crop_size]
    )
    return tf.cast(crops, values.dtype)


def _crop_by_gathers(values, boxes, owner, size):
    """`tf.image.crop_and_resize` of boxes inside the map, for converters."""
    shape = tf.shape(values)
    places, shares = [], []
    for axis, number in enumerate(size):
        last = shape[axis + 1] - 1
        begin, end = (boxes[:, corner : corner + 1] for corner in (axis, axis + 2))
        steps = tf.range(number, dtype=tf.float32) / (number - 1)
        place = (begin + (end - begin) * steps) * tf.cast(last, tf.float32)
        before = tf.cast(tf.floor(place), tf.int32)
        shares.append(place - tf.cast(before, tf.float32))
        places.append([before, tf.minimum(before + 1, last)])
    flat = tf.reshape(values, [-1, values.shape[-1]])
    down, right = shares[0][:, :, tf.newaxis, tf.newaxis], shares[1][:, tf.newaxis, :, tf.newaxis]
    rows = [(owner[:, tf.newaxis] * shape[1] + row) * shape[2] for row in places[0]]

    def along(row):
        left, behind = (
            tf.gather(flat, row[:, :, tf.newaxis] + column[:, tf.newaxis]) for column in places[1]
        )
        return left + (behind - left) * right

    above, below = map(along, rows)
    return above + (below - above) * down
