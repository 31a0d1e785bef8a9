"""Tiled execution of ACT: the images that have halted leave the batch."""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.row_convolution import take_rows


class ImageWork(NamedTuple):
    """What is carried from unit to unit; a images of the batch are still active.

    Attributes:
        halting: `HaltingState` of maps [B, 1, 1].
        images: int32 [a]. Which images of the batch are active.
        active: [a, H, W, C]. Their states.
        output: [a, H, W, C]. Their outputs so far.
    """

    halting: HaltingState
    images: tf.Tensor
    active: tf.Tensor
    output: tf.Tensor


def run_tiled_images(block, state, mean, valid, training):
    """`run_tiled` for `halting="act"`."""
    halting = block.initial_halting(state, valid)
    work = ImageWork(halting, tf.range(tf.shape(state)[0]), state, state)
    flops, weights, chunks = 0, [], []
    for index in range(len(block.units)):
        flops += block.unit_flops(index, work.halting.active, state, valid)

        def run(index=index, work=work):
            active, output = work.active, work.output
            present = None if valid is None else tf.gather(valid, work.images)
            if index > 0:
                # As maps of positions, so that an empty batch has statistics of nothing, not NaN.
                everywhere = tf.ones(tf.shape(active)[:3], tf.bool) if present is None else present
                residual = block.units[index].residual(
                    active, training=training, valid=present, outer=everywhere, inner=everywhere
                )
                remainder = tf.gather(work.halting.remainder, work.images)[..., tf.newaxis]
                active += residual
                output += residual * tf.cast(remainder, residual.dtype)
            score = block.halting_score(
                index, active, training, present, mean=mean if index == 0 else None
            )
            if score is not None:
                shape = tf.shape(work.halting.remainder)
                score = tf.scatter_nd(work.images[:, tf.newaxis], score, shape)
            halting, weight = block.halting_step(index, work.halting, score)
            still = tf.gather(halting.active[:, 0, 0], work.images)
            kept, gone = (tf.cast(tf.where(chosen)[:, 0], tf.int32) for chosen in (still, ~still))
            finished = Finished(tf.gather(work.images, gone), take_rows(output, gone))
            images = tf.gather(work.images, kept)
            work = ImageWork(halting, images, take_rows(active, kept), take_rows(output, kept))
            return work, weight, finished

        # An empty work set is its own set of finished images. (A slice [:0] would have a static
        # shape, which Grappler then takes for the shape of both branches.)
        def skip(work=work):
            nothing = Finished(work.images, work.output)
            return work, tf.zeros_like(work.halting.remainder), nothing

        if index == 0:
            work, weight, finished = run()
        else:
            work, weight, finished = run_unless_empty(run, skip, tf.size(work.images), training)
        weights.append(weight)
        chunks.append(finished)
    return assemble(chunks, state), work.halting, weights, flops


def run_unless_empty(run, skip, count, training):
    """`run()`, or `skip()` where nothing is active.

    In training the unit always runs: an empty batch costs next to nothing, and the moving
    statistics of batch normalizations cannot be updated inside a branch under a distribution
    strategy.
    """
    if training:
        return run()
    return tf.cond(count > 0, run, skip)


def assemble(chunks, state):
    """The outputs of the batch from its finished images, each of which is in exactly one chunk."""
    output = tf.dynamic_stitch(
        [chunk.positions for chunk in chunks], [chunk.output for chunk in chunks]
    )
    return tf.ensure_shape(tf.reshape(output, tf.shape(state)), state.shape)
