"""What halted leaves the computation, and comes back in the block's output."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.active_rows import to_map
from sact_tf.ops.conversion import is_converting


class Finished(NamedTuple):
    """What halted after a unit: int32 [F], flat positions (or images), and outputs [F, ...]."""

    positions: tf.Tensor
    output: tf.Tensor


def put_into(maps: tf.Tensor, chunks: Sequence[Finished]) -> tf.Tensor:
    """Puts what has halted into maps.

    Args:
        maps: [B, H, W, C].
        chunks: list of `Finished`, no position in two of them.

    Returns:
        [B, H, W, C]: the outputs of the chunks at their positions, elsewhere the maps.
    """
    shape = tf.shape(maps)
    flat = tf.reshape(maps, [-1, maps.shape[-1]])
    # As tensors of this graph: gradients in nested branches can't reach further out.
    positions = [tf.identity(chunk.positions) for chunk in chunks]
    every = tf.concat(positions, axis=0)
    if is_converting():
        outputs = tf.concat([chunk.output for chunk in chunks], axis=0)
        outputs = tf.tensor_scatter_nd_update(flat, every[:, tf.newaxis], outputs)
        return tf.ensure_shape(tf.reshape(outputs, shape), maps.shape)
    own = tf.range(tf.shape(flat)[0])
    new = tf.shape(flat)[0] + tf.range(tf.size(every))
    moved = tf.reshape(to_map(new - every, every, shape[:3]), [-1])

    # One gather of old and new rows: a scatter into the maps, or a stitch, runs on one thread.
    @tf.custom_gradient
    def put(flat, *outputs):
        def gradient(upstream):
            kept = tf.where(moved[:, tf.newaxis] > 0, tf.zeros([], upstream.dtype), upstream)
            return (kept, *(tf.gather(upstream, where) for where in positions))

        return tf.gather(tf.concat([flat, *outputs], axis=0), own + moved), gradient

    outputs = put(flat, *(chunk.output for chunk in chunks))
    return tf.ensure_shape(tf.reshape(outputs, shape), maps.shape)
