"""Rows of a constant number for the active positions of a map, whose number varies.

Every shape follows from that of the map, so XLA can compile it. DynamicViT (arXiv:2106.02034) takes
a constant number of tokens at inference in the same way. `active_rows.py` has rows for exactly what
is active.

B batch, H W map, R rows, N M channels.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.active_rows import neighbours_at
from sact_tf.ops.precision import at_least_float32


class StaticRows(NamedTuple):
    """Which position each row holds.

    Attributes:
        positions: int32 [R], into the flattened map; 0 for a row that holds nothing.
        held: bool [R], whether the row holds a position.
        numbers: int32 [B, H, W], the row of a position, from 1; 0 where there is none.
        per: "image" where every image has as many rows, else "batch".
    """

    positions: tf.Tensor
    held: tf.Tensor
    numbers: tf.Tensor
    per: str


def find_static_rows(
    active: tf.Tensor, capacity: int | tf.Tensor, per: str = "image"
) -> StaticRows:
    """Gives each active position a row.

    Args:
        active: bool [B, H, W], of each image (of the batch) no more than the capacity.
        capacity: int or int32 scalar, see `sact_tf.ops.capacity.most_positions`.
        per: "image" or "batch".

    Returns:
        `StaticRows`; the rows of an image follow each other, as many for each.
    """
    rank, count = _rank(active)
    first, groups = tf.range(tf.size(count)) * capacity, tf.size(count)
    if per == "batch":
        first, groups = tf.cumsum(count, exclusive=True), 1
        count = tf.reduce_sum(count, keepdims=True)
    numbers = tf.where(active, first[:, tf.newaxis, tf.newaxis] + rank, 0)
    # What has no row writes to number 0, which is left out. Wide, as GPUs need it.
    own = tf.range(tf.size(active, tf.int64), dtype=tf.int64)
    index = tf.reshape(numbers, [-1, 1])
    positions = tf.scatter_nd(index, own, [groups * capacity + 1])[1:]
    held = tf.range(capacity) < count[:, tf.newaxis]
    return StaticRows(tf.cast(positions, tf.int32), tf.reshape(held, [-1]), numbers, per)


def _rank(active):
    """Numbers of the true positions in each image, from 1, and how many: int32 [B, H, W], [B]."""
    # Products with triangles: XLA takes a cumulative sum of a map position by position.
    height, width = tf.unstack(tf.shape(active)[1:])
    ones = tf.cast(active, tf.float32)
    in_line = tf.tensordot(ones, _up_to(width, 0), 1)
    above = tf.matmul(in_line[..., -1], _up_to(height, 1))
    rank = tf.cast(in_line + tf.expand_dims(above, -1), tf.int32)
    return rank, tf.reduce_sum(tf.cast(active, tf.int32), axis=[1, 2])


def _up_to(size, least):
    """[size, size]: 1 where the column is the row's, or at least so much to the right."""
    numbers = tf.range(size)
    return tf.cast(numbers - numbers[:, tf.newaxis] >= least, tf.float32)


def sum_rows(values: tf.Tensor, rows: StaticRows) -> tf.Tensor:
    """Sum over the positions of each image: [R, N] -> [B, N], at least float32."""
    values = at_least_float32(values)
    values = tf.where(rows.held[:, tf.newaxis], values, tf.zeros([], values.dtype))
    batch = tf.shape(rows.numbers)[0]
    if rows.per == "image":
        return tf.reduce_sum(tf.reshape(values, [batch, -1, values.shape[-1]]), axis=1)
    size = tf.reduce_prod(tf.shape(rows.numbers)[1:])
    membership = rows.positions // size == tf.range(batch)[:, tf.newaxis]
    return tf.matmul(tf.cast(membership, values.dtype), values)


def count_rows(rows: StaticRows) -> tf.Tensor:
    """Number of rows of each image that hold a position: int32 [B, 1]."""
    held = tf.cast(rows.numbers > 0, tf.int32)
    return tf.reduce_sum(held, axis=[1, 2])[:, tf.newaxis]


def place_rows(values: tf.Tensor, rows: StaticRows) -> tf.Tensor:
    """Puts rows at their positions of a map, zeros elsewhere: [R, N] -> [B, H, W, N]."""

    @tf.custom_gradient
    def place(values):
        # A scatter would run row by row.
        padded = tf.concat([tf.zeros_like(values[:1]), values], axis=0)

        def gradient(upstream):
            flat = tf.reshape(upstream, [-1, upstream.shape[-1]])
            of_values = tf.gather(flat, rows.positions)
            return tf.where(rows.held[:, tf.newaxis], of_values, tf.zeros([], flat.dtype))

        return tf.gather(padded, rows.numbers), gradient

    return place(values)


def convolve_at_rows(maps: tf.Tensor, kernel: tf.Tensor, rows: StaticRows) -> tf.Tensor:
    """3x3 convolution of maps, evaluated at rows only.

    Args:
        maps: [B, H, W, N]; outside of them the convolution reads zeros.
        kernel: [3, 3, N, M].
        rows: `StaticRows`.

    Returns:
        [R, M].
    """

    @tf.custom_gradient
    def convolve(maps, kernel):
        shape = tf.shape(maps)
        every = tf.reshape(tf.range(1, tf.reduce_prod(shape[:3]) + 1), shape[:3])
        neighbours = neighbours_at(every, rows.positions)
        flat = tf.reshape(maps, [-1, maps.shape[-1]])
        padded = tf.concat([tf.zeros_like(flat[:1]), flat], axis=0)
        weights = tf.unstack(tf.reshape(kernel, [9, *kernel.shape[2:]]))

        def read(number):
            return tf.gather(padded, neighbours[:, number])

        # Neighbour by neighbour: putting all nine side by side takes longer.
        outputs = tf.add_n([tf.matmul(read(k), weight) for k, weight in enumerate(weights)])

        def gradient(upstream):
            of_maps = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape,
                filter=kernel,
                out_backprop=place_rows(upstream, rows),
                strides=[1, 1, 1, 1],
                padding="SAME",
            )
            held = tf.where(rows.held[:, tf.newaxis], upstream, tf.zeros([], upstream.dtype))
            of_kernel = [tf.matmul(read(k), held, transpose_a=True) for k in range(9)]
            return of_maps, tf.reshape(tf.stack(of_kernel), tf.shape(kernel))

        return outputs, gradient

    return convolve(maps, kernel)
