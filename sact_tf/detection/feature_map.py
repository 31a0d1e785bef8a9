"""Features of a padded batch of images, and crops of them.

B images, H x W positions, C channels, P regions.
"""

from typing import NamedTuple

import tensorflow as tf

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
    crops = tf.image.crop_and_resize(
        tf.cast(values, tf.float32), tf.reshape(boxes, [-1, 4]), owner, [crop_size, crop_size]
    )
    return tf.cast(crops, values.dtype)
