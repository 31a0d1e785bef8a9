"""Tiles of a map: halting scores shared by k x k positions, dilation, nearest upsampling.

B batch, H W map, k tile size. The grid of tiles starts at row 0, column 0; tiles at the bottom and
right border may be partial and average over the positions that exist.
"""

import tensorflow as tf

from sact_tf.ops.conversion import is_converting
from sact_tf.ops.positions import strided_size


def share_within_tiles(
    scores: tf.Tensor, tile_size: int, valid: tf.Tensor | None = None
) -> tf.Tensor:
    """Replaces every score by the mean of its tile.

    Args:
        scores: [B, H, W].
        tile_size: k >= 1; 1 returns the scores unchanged.
        valid: optional bool [B, H, W]; positions that are not valid take no part in the mean.

    Returns:
        [B, H, W]; all positions of a tile hold the same value, to the bit. A tile without any
        valid position holds 0.
    """
    if tile_size == 1:
        return scores
    shape = tf.shape(scores)
    height, width = shape[1], shape[2]
    present = tf.ones_like(scores) if valid is None else tf.cast(valid, scores.dtype)
    total = _sum_tiles(scores * present, tile_size)
    count = _sum_tiles(present, tile_size)
    return spread_tiles(tf.math.divide_no_nan(total, count), tile_size, height, width)


def spread_tiles(
    tiles: tf.Tensor, tile_size: int, height: int | tf.Tensor, width: int | tf.Tensor
) -> tf.Tensor:
    """Gives every position the value of its tile: [B, ceil(H/k), ceil(W/k)] -> [B, H, W]."""
    maps = tf.repeat(tf.repeat(tiles, tile_size, axis=1), tile_size, axis=2)
    return maps[:, :height, :width]


def _sum_tiles(maps, tile_size):
    shape = tf.shape(maps)
    rows, columns = (
        strided_size(size, tile_size) * tile_size - size for size in (shape[1], shape[2])
    )
    padded = tf.pad(maps, [[0, 0], [0, rows], [0, columns]])
    grid = [
        shape[0],
        (shape[1] + rows) // tile_size,
        tile_size,
        (shape[2] + columns) // tile_size,
        tile_size,
    ]
    return tf.reduce_sum(tf.reshape(padded, grid), axis=[2, 4])


def dilate(active: tf.Tensor) -> tf.Tensor:
    """Positions that a 3x3 convolution evaluated at the active positions reads.

    Args:
        active: bool [B, H, W].

    Returns:
        bool [B, H, W]: the active positions and their eight neighbours inside the map.
    """
    if is_converting():
        maps = tf.nn.max_pool2d(tf.cast(active, tf.float32)[..., tf.newaxis], 3, 1, "SAME")
        return maps[..., 0] > 0
    # A pooling of maps without channels leaves the vector units idle; this is several times faster.
    for axis in (1, 2):
        padded = tf.pad(active, [[int(axis == other)] * 2 for other in range(3)])
        first, last = ([slice(None)] * axis + [part] for part in (slice(-2), slice(2, None)))
        active = active | padded[tuple(first)] | padded[tuple(last)]
    return active


def upsample_nearest(
    maps: tf.Tensor,
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    valid: tf.Tensor | None = None,
    maps_valid: tf.Tensor | None = None,
) -> tf.Tensor:
    """Resizes maps to the image by nearest neighbour, without half-pixel centres.

    Row i is taken from row floor(i * h / H) in float32 arithmetic, as TensorFlow's own kernel (and
    the authors' maps) do.

    Args:
        maps: [B, h, w].
        height, width: size of the result; ints or scalar tensors.
        valid: optional bool [B, height, width], what is image and not padding.
        maps_valid: the same at the maps' resolution, [B, h, w].

    Returns:
        [B, height, width]. With `valid`, each image's part is resized as it would be alone, and
        the padding is zero.
    """
    shape = tf.shape(maps)
    rows = _nearest(shape[0], shape[1], height, valid, maps_valid, axis=2)
    columns = _nearest(shape[0], shape[2], width, valid, maps_valid, axis=1)
    resized = tf.gather(maps, rows, axis=1, batch_dims=1)
    resized = tf.gather(resized, columns, axis=2, batch_dims=1)
    return resized if valid is None else tf.where(valid, resized, tf.zeros_like(resized))


def _nearest(batch, size, new_size, valid, maps_valid, axis):
    """Index into `size` rows (or columns) of each of `new_size`: int32 [B, new_size]."""
    if valid is None:
        sizes, new_sizes = tf.fill([batch], size), tf.fill([batch], new_size)
    else:
        sizes, new_sizes = (
            tf.reduce_sum(tf.cast(tf.reduce_any(area, axis=axis), tf.int32), axis=1)
            for area in (maps_valid, valid)
        )
    scale = tf.cast(sizes, tf.float32) / tf.cast(tf.maximum(new_sizes, 1), tf.float32)
    index = tf.floor(tf.cast(tf.range(new_size), tf.float32) * scale[:, tf.newaxis])
    return tf.minimum(tf.cast(index, tf.int32), tf.maximum(sizes, 1)[:, tf.newaxis] - 1)
