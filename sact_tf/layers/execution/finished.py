"""What halted leaves the computation, and comes back in the block's output."""

from typing import NamedTuple

import tensorflow as tf


class Finished(NamedTuple):
    """What halted after a unit: int32 [F], flat positions (or images), and outputs [F, ...]."""

    positions: tf.Tensor
    output: tf.Tensor


def run_unless_empty(run, skip, count, training):
    """`run()`, or `skip()` where nothing is active.

    In training the unit always runs: empty rows cost next to nothing, and the moving statistics of
    batch normalizations cannot be updated inside a branch under a distribution strategy.
    """
    if training:
        return run()
    return tf.cond(count > 0, run, skip)


def assemble(chunks, state):
    """The output map from its finished positions, each of which is in exactly one chunk."""
    output = tf.dynamic_stitch(
        [chunk.positions for chunk in chunks], [chunk.output for chunk in chunks]
    )
    return tf.ensure_shape(tf.reshape(output, tf.shape(state)), state.shape)
