"""What halted leaves the computation, and comes back in the block's output."""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.active_rows import to_map
from sact_tf.ops.row_convolution import take_rows


class Finished(NamedTuple):
    """What halted after a unit: int32 [F], flat positions (or images), and outputs [F, ...]."""

    positions: tf.Tensor
    output: tf.Tensor


def put_into(maps, chunks):
    """Maps [B, H, W, C] with the outputs of a list of `Finished` in place of their positions."""
    flat = tf.reshape(maps, [-1, maps.shape[-1]])
    positions = tf.concat([chunk.positions for chunk in chunks], axis=0)
    # One gather of old and new rows: a scatter into the maps, or a stitch, runs on one thread.
    own = tf.range(tf.shape(flat)[0])
    new = tf.shape(flat)[0] + tf.range(tf.size(positions))
    moved = to_map(tf.cast(new - positions, tf.int64), positions, tf.shape(maps)[:3])
    rows = tf.concat([flat, *(chunk.output for chunk in chunks)], axis=0)
    outputs = take_rows(rows, own + tf.cast(tf.reshape(moved, [-1]), tf.int32))
    return tf.ensure_shape(tf.reshape(outputs, tf.shape(maps)), maps.shape)
