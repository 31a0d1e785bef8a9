"""Tiles of a map: halting scores shared by k x k positions, dilation, nearest upsampling.

B batch, H W map, k tile size. The grid of tiles starts at row 0, column 0; tiles at the bottom and
right border may be partial and average over the positions that exist.
"""

import tensorflow as tf


def share_within_tiles(scores, tile_size, valid=None):
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


def spread_tiles(tiles, tile_size, height, width):
    """Gives every position the value of its tile: [B, ceil(H/k), ceil(W/k)] -> [B, H, W]."""
    maps = tf.repeat(tf.repeat(tiles, tile_size, axis=1), tile_size, axis=2)
    return maps[:, :height, :width]


def _sum_tiles(maps, tile_size):
    shape = tf.shape(maps)
    rows, columns = -shape[1] % tile_size, -shape[2] % tile_size
    padded = tf.pad(maps, [[0, 0], [0, rows], [0, columns]])
    grid = [
        shape[0],
        (shape[1] + rows) // tile_size,
        tile_size,
        (shape[2] + columns) // tile_size,
        tile_size,
    ]
    return tf.reduce_sum(tf.reshape(padded, grid), axis=[2, 4])


def dilate(active):
    """Positions that a 3x3 convolution evaluated at the active positions reads.

    Args:
        active: bool [B, H, W].

    Returns:
        bool [B, H, W]: the active positions and their eight neighbours inside the map.
    """
    maps = tf.cast(active, tf.float32)[..., tf.newaxis]
    return tf.nn.max_pool2d(maps, 3, 1, "SAME")[..., 0] > 0


def upsample_nearest(maps, height, width):
    """Resizes maps to the image by nearest neighbour, without half-pixel centres.

    Args:
        maps: [B, h, w].
        height, width: size of the result; ints or scalar tensors.

    Returns:
        [B, height, width]. Which row is taken follows TensorFlow's float32 arithmetic (as the
        authors' maps do), to the last size at which it differs from exact fractions.
    """
    resized = tf.raw_ops.ResizeNearestNeighbor(
        images=maps[..., tf.newaxis],
        size=tf.stack([height, width]),
        align_corners=False,
        half_pixel_centers=False,
    )
    return resized[..., 0]
