"""Tiled execution of ACT: the images that have halted leave the batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished
from sact_tf.layers.execution.interface import BlockResult, Entry
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.conversion import unless_converting
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


def run_tiled_images(units: Sequence[Any], policy: HaltingPolicy, entry: Entry) -> BlockResult:
    """Tiled execution for `halting="act"`; see `execute`."""
    state, mean, valid, training = entry
    halting = policy.start(state, valid)
    flops = policy.flops(0, None, halting.active, state, valid)
    work = ImageWork(halting, tf.range(tf.shape(state)[0]), state, state)
    work, weight, finished = _score(policy, 0, work, training, valid, mean)
    weights, chunks = [weight], [finished]
    for index, unit in enumerate(units[1:], start=1):
        flops += policy.flops(index, unit, work.halting.active, state, valid)
        work, weight, finished = _run_unless_empty(unit, policy, index, work, entry)
        weights.append(weight)
        chunks.append(finished)
    return BlockResult(_assemble(chunks, state), work.halting, weights, flops)


def _run_unless_empty(unit, policy, index, work, entry):
    """`_run_unit`, or nothing where nothing is active: `(work, weight, finished)`.

    In training the unit always runs: an empty batch costs next to nothing, and the moving
    statistics of batch normalizations cannot be updated inside a branch under a distribution
    strategy.
    """
    if entry.training:
        return _run_unit(unit, policy, index, work, entry)

    # An empty work set is its own set of finished images. (A slice [:0] would have a static
    # shape, which Grappler then takes for the shape of both branches.)
    def skip():
        nothing = Finished(work.images, work.output)
        return work, tf.zeros_like(work.halting.remainder), nothing

    return unless_converting(
        tf.equal(tf.size(work.images), 0),
        skip,
        lambda: _run_unit(unit, policy, index, work, entry),
    )


def _run_unit(unit, policy, index, work, entry):
    present = None if entry.valid is None else tf.gather(entry.valid, work.images)
    everywhere = present
    if present is None:
        # As maps of positions, so that an empty batch has statistics of nothing, not NaN.
        everywhere = tf.ones(tf.shape(work.active)[:3], tf.bool)
    residual = unit.residual(
        work.active, training=entry.training, valid=present, outer=everywhere, inner=everywhere
    )
    remainder = tf.gather(work.halting.remainder, work.images)[..., tf.newaxis]
    output = work.output + residual * tf.cast(remainder, residual.dtype)
    work = work._replace(active=work.active + residual, output=output)
    return _score(policy, index, work, entry.training, present)


def _score(policy, index, work, training, present, mean=None):
    """The halting score of the active images, and what follows: `(work, weight, finished)`."""
    score = policy.score(index, work.active, training, present, mean=mean)
    if score is not None:
        shape = tf.shape(work.halting.remainder)
        score = tf.scatter_nd(work.images[:, tf.newaxis], score, shape)
    halting, weight = policy.step(index, work.halting, score)
    still = tf.gather(halting.active[:, 0, 0], work.images)
    kept, gone = (tf.cast(tf.where(chosen)[:, 0], tf.int32) for chosen in (still, ~still))
    finished = Finished(tf.gather(work.images, gone), take_rows(work.output, gone))
    images = tf.gather(work.images, kept)
    active, output = take_rows(work.active, kept), take_rows(work.output, kept)
    return ImageWork(halting, images, active, output), weight, finished


def _assemble(chunks, state):
    """The outputs of the batch from its finished images, each of which is in exactly one chunk."""
    order = tf.concat([tf.identity(chunk.positions) for chunk in chunks], axis=0)
    output = tf.concat([chunk.output for chunk in chunks], axis=0)
    output = take_rows(output, tf.math.invert_permutation(order))
    return tf.ensure_shape(tf.reshape(output, tf.shape(state)), state.shape)
