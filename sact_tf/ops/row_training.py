"""Operations on compact rows in training, which change over to whole maps where most is active.

A gather of nine neighbours, forward and backward, costs more than the positions that it saves where
few have halted. So each of these operations runs on rows or on a map, whichever is cheaper, and so
does its gradient. Both have gradients of their own: none flows through a branch.

B batch, H W map, R rows, A of them outputs (the first ones), N and M channels.
"""

from collections.abc import Sequence

import tensorflow as tf

from sact_tf.ops.active_rows import ActiveRows
from sact_tf.ops.row_convolution import (
    convolution_gradients,
    neighbour_columns,
    neighbour_sum_gradient,
    neighbour_terms,
    selection,
)


def convolve_rows_in_training(
    pieces: Sequence[tf.Tensor],
    kernel: tf.Tensor,
    rows: ActiveRows,
    num_outputs: tf.Tensor,
    share: float,
) -> tf.Tensor:
    """`sact_tf.ops.row_convolution.convolve_rows`, on the map where enough positions are active.

    Args:
        pieces, kernel, num_outputs: as there.
        rows: `ActiveRows` of the pieces.
        share: of the map's positions, from which on the map is convolved.

    Returns:
        [A, M].
    """

    @tf.custom_gradient
    def convolve(numbers, positions, neighbours, num_outputs, kernel, *pieces):
        layout = _Layout(rows, numbers, positions, num_outputs, _num_rows(pieces))
        by_map = layout.covers(share)
        channels = kernel.shape[2]

        def on_map():
            maps = layout.to_map(pieces)
            outputs = tf.nn.conv2d(maps, kernel, 1, "SAME")
            return tf.reshape(maps, [-1, channels]), layout.outputs_of(outputs)

        def on_rows():
            columns = neighbour_columns(pieces, neighbours[:num_outputs])
            outputs = tf.matmul(columns, tf.reshape(kernel, [-1, kernel.shape[-1]]))
            return tf.reshape(columns, [-1, channels]), outputs

        read, outputs = tf.cond(by_map, on_map, on_rows)

        def gradient(upstream):
            def gradients_on_map():
                maps = tf.reshape(read, [*layout.shape, channels])
                of_outputs = layout.map_of_outputs(upstream)
                options = {"strides": [1, 1, 1, 1], "padding": "SAME"}
                of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                    input=maps,
                    filter_sizes=tf.shape(kernel),
                    out_backprop=of_outputs,
                    **options,
                )
                of_maps = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(maps), filter=kernel, out_backprop=of_outputs, **options
                )
                return of_kernel, layout.rows_of(of_maps)

            def gradients_on_rows():
                columns = tf.reshape(read, [-1, 9 * channels])
                return convolution_gradients(
                    columns, kernel, neighbours[: layout.num_rows], num_outputs, upstream
                )

            of_kernel, of_rows = tf.cond(by_map, gradients_on_map, gradients_on_rows)
            return (None, None, None, None, of_kernel, *_split(of_rows, pieces))

        return outputs, gradient

    outputs = convolve(
        rows.row_numbers, layout_positions(rows), rows.neighbours, num_outputs, kernel, *pieces
    )
    return tf.ensure_shape(outputs, [None, kernel.shape[-1]])


def sum_neighbour_rows_in_training(
    pieces: Sequence[tf.Tensor], rows: ActiveRows, share: float
) -> tf.Tensor:
    """`sact_tf.ops.row_convolution.sum_neighbour_rows` at the active positions, likewise.

    Args:
        pieces: list of [R_i, 9].
        rows, share: as in `convolve_rows_in_training`.

    Returns:
        [A].
    """

    @tf.custom_gradient
    def add(numbers, positions, neighbours, num_outputs, *pieces):
        layout = _Layout(rows, numbers, positions, num_outputs, _num_rows(pieces))
        by_map = layout.covers(share)
        kernel = selection(pieces[0].dtype)

        def on_map():
            sums = tf.nn.conv2d(layout.to_map(pieces), kernel, 1, "SAME")
            return layout.outputs_of(sums)[:, 0]

        def on_rows():
            return tf.reduce_sum(neighbour_terms(pieces, neighbours[:num_outputs]), axis=1)

        def gradient(upstream):
            def gradients_on_map():
                of_maps = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.stack([*layout.shape, 9]),
                    filter=kernel,
                    out_backprop=layout.map_of_outputs(upstream[:, tf.newaxis]),
                    strides=[1, 1, 1, 1],
                    padding="SAME",
                )
                return layout.rows_of(of_maps)

            def gradients_on_rows():
                return neighbour_sum_gradient(upstream, neighbours[: layout.num_rows], num_outputs)

            of_rows = tf.cond(by_map, gradients_on_map, gradients_on_rows)
            return (None, None, None, None, *_split(of_rows, pieces))

        return tf.cond(by_map, on_map, on_rows), gradient

    sums = add(rows.row_numbers, layout_positions(rows), rows.neighbours, rows.num_active, *pieces)
    return tf.ensure_shape(sums, [None])


def layout_positions(rows: ActiveRows) -> tf.Tensor:
    """int32 [R], the position of each row in the flattened map."""
    return tf.concat([rows.active_positions, rows.ring_positions], axis=0)


class _Layout:
    """Rows to maps and back; where everything is active the two are the same tensor."""

    def __init__(self, rows, numbers, positions, num_outputs, num_rows):
        self.shape = tf.unstack(tf.shape(rows.outer))
        self.numbers = numbers
        self.positions = positions[:num_rows]
        self.num_outputs = num_outputs
        self.num_rows = num_rows
        self.is_map = tf.equal(rows.num_active, tf.size(numbers))

    def covers(self, share):
        """Whether the outputs are at least that share of the map."""
        size = tf.cast(tf.size(self.numbers), tf.float32)
        return tf.cast(self.num_outputs, tf.float32) >= share * size

    def to_map(self, pieces):
        """List of [R_i, N] -> [B, H, W, N], zero where there is no row."""
        return self._as_map(pieces, self.num_rows)

    def map_of_outputs(self, outputs):
        """[A, M] -> [B, H, W, M], likewise."""
        return self._as_map([outputs], self.num_outputs)

    def rows_of(self, maps):
        """[B, H, W, N] -> [R, N]."""
        return self._pick(maps, self.positions)

    def outputs_of(self, maps):
        """[B, H, W, M] -> [A, M]."""
        return self._pick(maps, self.positions[: self.num_outputs])

    def _as_map(self, pieces, num_rows):
        def put():
            zeros = tf.zeros([1, pieces[0].shape[-1]], pieces[0].dtype)
            numbers = tf.where(self.numbers <= num_rows, self.numbers, 0)
            return tf.gather(tf.concat([zeros, *pieces], axis=0), numbers)

        flat = tf.cond(self.is_map, lambda: pieces[0], put)
        return tf.reshape(flat, [*self.shape, pieces[0].shape[-1]])

    def _pick(self, maps, positions):
        flat = tf.reshape(maps, [-1, maps.shape[-1]])
        return tf.cond(self.is_map, lambda: flat, lambda: tf.gather(flat, positions))


def _num_rows(pieces):
    return tf.add_n([tf.shape(piece)[0] for piece in pieces])


def _split(gradient, pieces):
    if len(pieces) == 1:
        return [gradient]
    return tf.split(gradient, [tf.shape(piece)[0] for piece in pieces], num=len(pieces))
