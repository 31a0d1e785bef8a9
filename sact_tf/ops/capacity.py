"""A hard limit: of the positions that would go on, a constant number may.

V-MoE's batch prioritised routing (arXiv:2106.05974) drops the tokens of least priority beyond a
buffer's capacity, Mixture-of-Depths (arXiv:2404.02258) lets a constant number of tokens through a
layer. Here the priority is the remainder of the halting distribution, and what is beyond the
capacity halts.

B batch, H W map, k tile size.
"""

import numpy as np
import tensorflow as tf

from sact_tf.ops.positions import strided_size
from sact_tf.ops.tiles import spread_tiles

PER = ("image", "batch")

# Remainders this near are equal. Executions differ by rounding, which must not choose among
# positions that look the same.
_LEVELS = 2.0**14


def capacity_count(share: float, count: int | tf.Tensor) -> int | tf.Tensor:
    """How many of a number of positions (or tiles) a share is: rounded, and at least 1 of any.

    Args:
        share: in (0, 1].
        count: int or int32 scalar.

    Returns:
        An int, or an int32 scalar tensor.
    """
    # In float32 everywhere: other runtimes have no division of wide integers.
    exact, half = np.float32(share), np.float32(0.5)
    if not tf.is_tensor(count):
        return min(max(int(exact * np.float32(count) + half), 1), count)
    rounded = tf.cast(tf.cast(count, tf.float32) * exact + half, tf.int32)
    return tf.minimum(tf.maximum(rounded, 1), count)


def most_positions(
    maps: tf.Tensor, share: float, tile_size: int = 1, per: str = "image"
) -> int | tf.Tensor:
    """How many positions of an image (of a batch) `admit` lets go on at most.

    Args:
        maps: [B, H, W].
        share, tile_size, per: as there.

    Returns:
        An int; an int32 scalar tensor where the maps' shape is not known.
    """
    batch, height, width = _sizes(maps)
    images = batch if per == "batch" else 1
    tiles = strided_size(height, tile_size) * strided_size(width, tile_size)
    number = capacity_count(share, images * tiles) * tile_size**2
    size = images * height * width
    return tf.minimum(number, size) if tf.is_tensor(size) else min(number, size)


def admit(
    going_on: tf.Tensor,
    remainder: tf.Tensor,
    share: float,
    tile_size: int = 1,
    per: str = "image",
) -> tf.Tensor:
    """Which positions enter the next unit: those with the largest remainder, up to a capacity.

    Of equal remainders (up to 2^-15) the first in the order of the map go on. Nobody is left out
    where no more than the capacity would go on.

    Args:
        going_on: bool [B, H, W], what would enter the unit without a limit.
        remainder: [B, H, W], in [0, 1].
        share: capacity, a share of the tiles of a map, padding included; see `capacity_count`.
        tile_size: k; k x k positions, which hold one remainder, go on together.
        per: "image" has a capacity for each image, "batch" one for all tiles of the batch.

    Returns:
        bool [B, H, W].
    """
    _, height, width = _sizes(going_on)
    level = tf.round(tf.stop_gradient(remainder) * _LEVELS)
    tiles = _largest_of_tiles(tf.where(going_on, level, -1), tile_size, height, width)
    chosen = _largest(tiles, share, per)
    chosen.set_shape(tiles.shape)
    if tile_size > 1:
        chosen = spread_tiles(chosen, tile_size, height, width)
    return going_on & chosen


def _largest(priority, share, per):
    """Which entries of maps are among the `share` largest ones, the first of equal ones: bool."""
    batch, height, width = _sizes(priority)
    count = height * width * (batch if per == "batch" else 1)
    rows = tf.reshape(priority, [tf.shape(priority)[0] if per == "image" else 1, count])
    values, places = tf.math.top_k(rows, capacity_count(share, count))
    # The last that is taken tells all others, for equal values come in their order.
    value, place = values[:, -1:], places[:, -1:]
    chosen = (rows > value) | ((rows == value) & (tf.range(count) <= place))
    return tf.reshape(chosen, tf.shape(priority))


def _sizes(maps):
    dynamic = tf.shape(maps)
    return [dynamic[n] if side is None else side for n, side in enumerate(maps.shape[:3])]


def _largest_of_tiles(maps, tile_size, height, width):
    """Maximum of each tile: [B, H, W] -> [B, ceil(H / k), ceil(W / k)]."""
    if tile_size == 1:
        return maps
    rows, columns = (strided_size(size, tile_size) for size in (height, width))
    below, right = rows * tile_size - height, columns * tile_size - width
    padded = tf.pad(maps, [[0, 0], [0, below], [0, right]], constant_values=-1)
    batch = tf.shape(maps)[0]
    grid = tf.reshape(padded, [batch, rows, tile_size, columns, tile_size])
    return tf.reduce_max(grid, axis=[2, 4])
