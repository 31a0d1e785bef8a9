"""3x3 convolutions on compact rows, and picking rows, with gradients that never add in a scatter.

R rows, A of them outputs (the first ones), N and M channels. `neighbours` is that of
`sact_tf.ops.active_rows.ActiveRows`: numbers from 1, 0 reads zeros.

The gradients TensorFlow would derive for a gather are scatters that add, which run on one thread.
Here every reader of a row is known: the gradient of a convolution is again a gather of nine
neighbours and a product, and rows that are picked once are put back without adding.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sact_tf.ops.active_rows import ActiveRows, neighbours_at
from sact_tf.ops.conversion import is_converting, unless_converting

_LANES = 16


def take_rows(features: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """`tf.gather` of rows of which none is taken twice: [R, ...], int32 [A] -> [A, ...]."""

    @tf.custom_gradient
    def take(features, index):
        index = _local(index)
        shape = tf.shape(features)

        def gradient(upstream):
            zeros = tf.zeros(shape, upstream.dtype)
            return tf.tensor_scatter_nd_update(zeros, index[:, tf.newaxis], upstream), None

        return tf.gather(features, index), gradient

    return take(features, index)


def part_rows(features: tf.Tensor, kept: tf.Tensor, gone: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Parts rows in two; copies nothing where all are kept.

    Args:
        features: [R, C].
        kept, gone: int32 [K] and [R - K], increasing; each row is in one of them.

    Returns:
        `(kept, gone)`: [K, C], [R - K, C].
    """

    @tf.custom_gradient
    def part(features, kept, gone):
        kept, gone = _local(kept), _local(gone)

        def gradient(*upstream):
            def put_together():
                order = tf.math.invert_permutation(tf.concat([kept, gone], axis=0))
                return tf.gather(tf.concat(upstream, axis=0), order)

            return tf.cond(tf.size(gone) > 0, put_together, lambda: upstream[0]), None, None

        return (_keep(features, kept), tf.gather(features, gone)), gradient

    return part(features, kept, gone)


def _keep(features, kept):
    return unless_converting(
        tf.size(kept) >= tf.shape(features)[0],
        lambda: features,
        lambda: tf.gather(features, kept),
    )


def regroup_rows(
    active: tf.Tensor,
    ring: tf.Tensor,
    kept: tf.Tensor,
    entering: tf.Tensor,
    numbers: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves rows that have halted out of the active ones, and into the ring what is read of them.

    Where all stay active, the ring has to stay as it is, too.

    Args:
        active, ring: [A, C], [E, C].
        kept: int32 [A'], which of the active rows stay active, increasing.
        entering: int32 [E'], the new ring by its rows' old numbers: from 1, active rows first.
        numbers: int32 [A] and [E], each row's new number; 0 drops it.

    Returns:
        `(active, ring)`: [A', C], [E', C].
    """

    if is_converting():
        return tf.gather(active, kept), _pick(active, ring, entering - 1)

    @tf.custom_gradient
    def regroup(kept, entering, active_numbers, ring_numbers, active, ring):
        kept, entering = _local(kept), _local(entering)
        numbers = [_local(active_numbers), _local(ring_numbers)]
        num_active = tf.shape(active)[0]
        was_ring = tf.cast(entering > num_active, tf.int32)
        places = tf.dynamic_partition(tf.range(tf.size(entering)), was_ring, 2)
        halted, stayed = tf.dynamic_partition(entering - 1, was_ring, 2)
        pieces = [tf.gather(active, halted), tf.gather(ring, stayed - num_active)]

        def gradient(*upstream):
            def pick():
                zeros = tf.zeros([1, active.shape[-1]], active.dtype)
                padded = tf.concat([zeros, *upstream], axis=0)
                return tuple(tf.gather(padded, number) for number in numbers)

            # Where none has halted, the ring is the same, too.
            some_halted = tf.size(kept) < num_active
            return (*[None] * 4, *tf.cond(some_halted, pick, lambda: upstream))

        return (_keep(active, kept), tf.dynamic_stitch(places, pieces)), gradient

    return regroup(kept, entering, *numbers, active, ring)


def _pick(first, second, rows):
    """Rows of two tensors by their numbers, without putting these together."""
    count = tf.shape(first)[0]
    of_first = tf.gather(first, tf.minimum(rows, count - 1))
    # With one row more, for there may be none to take.
    of_second = tf.gather(tf.concat([second, first[:1]], axis=0), tf.maximum(rows - count, 0))
    return tf.where((rows < count)[:, tf.newaxis], of_first, of_second)


def convolve_rows(
    pieces: Sequence[tf.Tensor],
    kernel: tf.Tensor,
    neighbours: tf.Tensor,
    num_outputs: tf.Tensor,
) -> tf.Tensor:
    """3x3 convolution evaluated at the first rows of a set.

    Args:
        pieces: list of [R_i, N] whose concatenation are the rows.
        kernel: [3, 3, N, M].
        neighbours: int32 [R, 9].
        num_outputs: int32 scalar, A; everything around these rows inside the image is a row.

    Returns:
        [A, M].
    """

    @tf.custom_gradient
    def convolve(neighbours, num_outputs, kernel, *pieces):
        neighbours, num_outputs, kernel = map(_local, (neighbours, num_outputs, kernel))
        pieces = list(map(_local, pieces))
        columns = neighbour_columns(pieces, neighbours[:num_outputs])
        outputs = tf.matmul(columns, _as_matrix(kernel))

        def gradient(upstream):
            of_kernel, of_rows = convolution_gradients(
                columns, kernel, neighbours, num_outputs, upstream
            )
            sizes = [tf.shape(piece)[0] for piece in pieces]
            return (None, None, of_kernel, *tf.split(of_rows, sizes, num=len(pieces)))

        return outputs, gradient

    return convolve(neighbours, num_outputs, kernel, *pieces)


def convolution_gradients(
    columns: tf.Tensor,
    kernel: tf.Tensor,
    neighbours: tf.Tensor,
    num_outputs: tf.Tensor,
    upstream: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of `convolve_rows`, of its kernel and of all its rows.

    Args:
        columns: [A, 9 * N], the `neighbour_columns` of the outputs.
        kernel, neighbours, num_outputs: as there.
        upstream: [A, M].

    Returns:
        `(of_kernel, of_rows)`: [3, 3, N, M], [R, N].
    """
    of_kernel = tf.matmul(columns, upstream, transpose_a=True)
    readers = _readers(neighbours, num_outputs)
    transposed = _as_matrix(tf.transpose(kernel, [0, 1, 3, 2]))
    of_rows = tf.matmul(neighbour_columns([upstream], readers), transposed)
    return tf.reshape(of_kernel, tf.shape(kernel)), of_rows


def convolve_rows_on_map(
    pieces: Sequence[tf.Tensor], kernel: tf.Tensor, rows: ActiveRows
) -> tf.Tensor:
    """`convolve_rows` by a convolution of the whole map, for inference.

    Of narrow features, whose nine neighbours take longer to gather than to multiply, this is faster
    where most positions are active.

    Args:
        pieces, kernel: as in `convolve_rows`.
        rows: `ActiveRows` of the pieces.

    Returns:
        [A, M].
    """
    numbers = tf.reshape(rows.row_numbers, tf.shape(rows.outer))
    outputs = tf.nn.conv2d(tf.gather(_padded(pieces), numbers), kernel, 1, "SAME")
    return tf.gather(tf.reshape(outputs, [-1, kernel.shape[-1]]), rows.active_positions)


def convolve_map(maps: tf.Tensor, kernel: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """3x3 convolution of whole maps as a gather of neighbours and one product.

    Args:
        maps: [B, H, W, N]; outside of them the convolution reads zeros.
        kernel: [3, 3, N, M].
        stride: int.

    Returns:
        [B, ceil(H / stride), ceil(W / stride), M].
    """
    border = [[0, 0], [1, 1], [1, 1], [0, 0]]

    @tf.custom_gradient
    def convolve(maps, kernel):
        maps, kernel = _local(maps), _local(kernel)
        shape = tf.shape(maps)[:3]
        numbers = tf.range(tf.reduce_prod(shape))
        positions = tf.reshape(numbers, shape)[:, ::stride, ::stride]
        neighbours = neighbours_at(tf.reshape(numbers + 1, shape), tf.reshape(positions, [-1]))
        columns = neighbour_columns([tf.reshape(maps, [-1, maps.shape[-1]])], neighbours)
        outputs = tf.matmul(columns, _as_matrix(kernel))
        outputs = tf.reshape(outputs, [*tf.unstack(tf.shape(positions)), kernel.shape[-1]])

        def gradient(upstream):
            padded = tf.pad(maps, border)
            options = {"strides": [1, stride, stride, 1], "padding": "VALID"}
            inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(padded), filter=kernel, out_backprop=upstream, **options
            )
            weights = tf.raw_ops.Conv2DBackpropFilter(
                input=padded, filter_sizes=tf.shape(kernel), out_backprop=upstream, **options
            )
            return inputs[:, 1:-1, 1:-1], weights

        return outputs, gradient

    return convolve(maps, kernel)


def sum_neighbours(planes: tf.Tensor) -> tf.Tensor:
    """Sums what the nine neighbours of each position contribute: [9, B, H, W] -> [B, H, W].

    Plane 3 * (dy + 1) + dx + 1 at position (y + dy, x + dx) goes to position (y, x).
    """
    # By whole maps: slices of them, and a convolution of nine channels to one, take longer.
    planes = tf.unstack(planes)
    rows = [_shift_and_add(planes[3 * dy : 3 * dy + 3], axis=2) for dy in range(3)]
    return _shift_and_add(rows, axis=1)


def sum_neighbour_columns(columns: tf.Tensor) -> tf.Tensor:
    """`sum_neighbours` of planes that are channels: [B, H, W, 9] -> [B, H, W]."""
    height, width = tf.unstack(tf.shape(columns)[1:3])
    padded = tf.pad(columns, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.add_n(
        [
            padded[:, dy : dy + height, dx : dx + width, 3 * dy + dx]
            for dy in range(3)
            for dx in range(3)
        ]
    )


def sum_neighbours_by_convolutions(maps: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """A product with nine columns and `sum_neighbours` of it, in few operations, for converters.

    Args:
        maps: [B, H, W, C].
        weights: [C, 9].

    Returns:
        [B, H, W].
    """
    # Other runtimes convolve sixteen channels as fast as nine.
    columns = tf.pad(weights, [[0, 0], [0, _LANES - 9]])
    planes = tf.nn.conv2d(maps, columns[tf.newaxis, tf.newaxis], 1, "SAME")
    picks = np.eye(9, _LANES).reshape([3, 3, _LANES, 1])
    picked = tf.nn.depthwise_conv2d(planes, tf.constant(picks, maps.dtype), [1, 1, 1, 1], "SAME")
    return tf.nn.conv2d(picked, tf.ones([1, 1, _LANES, 1], maps.dtype), 1, "SAME")[..., 0]


def _shift_and_add(maps, axis):
    """Adds to each position what `before` has at the one before it, and `after` behind it."""
    before, here, after = maps
    rest = [slice(None)] * axis
    border = tf.zeros_like(here[(*rest, slice(1))])
    from_before = tf.concat([border, before[(*rest, slice(-1))]], axis=axis)
    from_after = tf.concat([after[(*rest, slice(1, None))], border], axis=axis)
    return here + from_before + from_after


def selection(dtype: tf.DType) -> tf.Tensor:
    """The kernel [3, 3, 9, 1] that picks column 3 * (dy + 1) + dx + 1 of the neighbour (dy, dx)."""
    # A constant, where LiteRT and OpenVINO have no operation that makes it.
    return tf.constant(np.eye(9).reshape([3, 3, 9, 1]), dtype)


def sum_neighbour_rows(
    pieces: Sequence[tf.Tensor], neighbours: tf.Tensor, num_outputs: tf.Tensor
) -> tf.Tensor:
    """Sums what the nine neighbours of the first rows contribute; see `sum_neighbours`.

    Args:
        pieces: list of [R_i, 9] whose concatenation are the rows; column k of a row is what it
            contributes to the row that has it as its neighbour k.
        neighbours, num_outputs: as in `convolve_rows`.

    Returns:
        [A].
    """

    @tf.custom_gradient
    def add(neighbours, num_outputs, *pieces):
        neighbours, num_outputs = _local(neighbours), _local(num_outputs)
        pieces = list(map(_local, pieces))
        terms = neighbour_terms(pieces, neighbours[:num_outputs])

        def gradient(upstream):
            of_rows = neighbour_sum_gradient(upstream, neighbours, num_outputs)
            sizes = [tf.shape(piece)[0] for piece in pieces]
            return (None, None, *tf.split(of_rows, sizes, num=len(pieces)))

        return tf.reduce_sum(terms, axis=1), gradient

    return add(neighbours, num_outputs, *pieces)


def neighbour_terms(pieces: Sequence[tf.Tensor], neighbours: tf.Tensor) -> tf.Tensor:
    """What `sum_neighbour_rows` sums: list of [R_i, 9], int32 [A, 9] -> [A, 9]."""
    flat = tf.reshape(_padded(pieces), [-1])
    return tf.gather(flat, neighbours * 9 + tf.range(9))


def neighbour_sum_gradient(
    upstream: tf.Tensor, neighbours: tf.Tensor, num_outputs: tf.Tensor
) -> tf.Tensor:
    """Gradient of `sum_neighbour_rows`: [A], int32 [R, 9] -> [R, 9]."""
    padded = tf.concat([tf.zeros([1], upstream.dtype), upstream], axis=0)
    return tf.gather(padded, _readers(neighbours, num_outputs))


def _local(index):
    """The tensor as one of this graph: gradients in nested branches can't reach further out."""
    return tf.identity(index)


def _padded(pieces):
    """The rows by their numbers, the first of zeros."""
    return tf.concat([tf.zeros([1, pieces[0].shape[-1]], pieces[0].dtype), *pieces], axis=0)


def neighbour_columns(pieces: Sequence[tf.Tensor], neighbours: tf.Tensor) -> tf.Tensor:
    """What a 3x3 convolution reads: list of [R_i, N], int32 [A, 9] -> [A, 9 * N]."""
    return tf.reshape(tf.gather(_padded(pieces), neighbours), [-1, 9 * pieces[0].shape[-1]])


def _readers(neighbours, num_outputs):
    """Who reads a row as its neighbour k: the row at the opposite side, where it is an output."""
    opposite = tf.reverse(neighbours, axis=[1])
    return tf.where(opposite <= num_outputs, opposite, 0)


def _as_matrix(kernel):
    return tf.reshape(kernel, [-1, kernel.shape[-1]])
