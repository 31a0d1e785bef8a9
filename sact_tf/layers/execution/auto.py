"""Auto execution: each unit runs densely or on compact rows, whichever is cheaper.

The active set only shrinks within a block, so a block starts with dense units and changes over to
rows once, before the first unit at which few enough positions are active.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished, put_into
from sact_tf.layers.execution.tiled_positions import (
    Work,
    gather_active,
    run_first_score,
    run_unit,
)
from sact_tf.ops import flops as flops_ops
from sact_tf.ops.active_rows import find_active_rows


class MixedWork(NamedTuple):
    """What is carried from unit to unit.

    Attributes:
        dense: bool scalar. Whether the block still runs densely.
        state: [B, H, W, C]. States, up to the change to rows.
        output: [B, H, W, C]. States so far weighted by the halting distribution (eq. 10); not yet
            the output of what was still active at the change to rows.
        work: `Work`; its halting state and mean are those of either phase, its rows are empty
            before the change.
    """

    dense: tf.Tensor
    state: tf.Tensor
    output: tf.Tensor
    work: Work


def run_auto_positions(block, state, mean, valid, training):
    """`run_auto` for `halting="sact"`; inference only."""
    if training:
        raise ValueError("Units cannot change over to rows in training, received training=True")
    first = run_first_score(block, state, mean, valid, training)
    if len(block.units) == 1:
        return state, first.halting, [first.weight], first.flops
    work = _empty_work(block, state, first, valid)
    mixed = MixedWork(tf.constant(True), state, None, work)
    present = flops_ops.map_positions(tf.shape(state), valid)
    limit = block.dense_share * tf.cast(tf.reduce_sum(present), tf.float32)
    weights, chunks, flops = [first.weight], [], first.flops
    for index in range(1, len(block.units)):
        active = mixed.work.halting.active
        count = tf.reduce_sum(tf.cast(active, tf.float32))
        mixed = _change_over(block, mixed, count > limit, valid)
        mixed, weight, finished, unit_flops = tf.cond(
            mixed.dense,
            lambda index=index, mixed=mixed: _run_dense(
                block, index, mixed, weights, present, valid
            ),
            lambda index=index, mixed=mixed: _run_rows(block, index, mixed, valid),
        )
        flops += unit_flops
        weights.append(weight)
        chunks.append(finished)
    output = tf.cond(mixed.dense, lambda: mixed.output, lambda: put_into(mixed.output, chunks))
    return tf.ensure_shape(output, state.shape), mixed.work.halting, weights, flops


def _empty_work(block, state, first, valid):
    nothing = tf.zeros_like(first.halting.active)
    rows = find_active_rows(nothing, valid, block.units[-1].reach)
    empty = tf.gather(tf.reshape(state, [-1, state.shape[-1]]), rows.active_positions)
    return Work(first.halting, rows, active=empty, ring=empty, output=empty, mean=first.mean)


def _change_over(block, mixed, stays_dense, valid):
    """Gathers the rows where the dense phase ends; returns `MixedWork`."""

    def gather():
        work = mixed.work
        work = gather_active(block, mixed.state, mixed.output, work.halting, work.mean, valid)
        return mixed._replace(dense=tf.constant(False), work=work)

    return tf.cond(mixed.dense & ~stays_dense, gather, lambda: mixed)


def _run_rows(block, index, mixed, valid):
    work, *others = run_unit(block, index, mixed.work, valid, training=False)
    output = mixed.state if mixed.output is None else mixed.output
    return mixed._replace(output=output, work=work), *others


def _run_dense(block, index, mixed, weights, present, valid):
    """A unit as masked execution runs it, but added to the state inside its last convolution."""
    work = mixed.work
    active = work.halting.active
    everywhere = tf.reduce_all(active)
    flops = tf.cond(
        everywhere,
        lambda: block.position_flops(index, present, present),
        lambda: block.unit_flops(index, active, mixed.state, valid),
    )
    residual, total = block.units[index].residual_and_sum(mixed.state, active, valid)
    state = mixed.state + residual
    state = tf.cond(
        everywhere,
        lambda: state,
        lambda: tf.where(active[..., tf.newaxis], state, mixed.state),
    )
    mean, score = work.mean, None
    if index < len(block.halting_scores):
        count = tf.cast(present, mean.dtype)
        mean += tf.math.divide_no_nan(total, count[:, tf.newaxis])
        score = block.halting_score(index, state, False, valid, mean=mean)
    halting, weight = block.halting_step(index, work.halting, score)
    output = _weighted(mixed.state, weights[0]) if mixed.output is None else mixed.output
    output += _weighted(state, weight)
    mixed = mixed._replace(
        state=state, output=output, work=work._replace(halting=halting, mean=mean)
    )
    return mixed, weight, Finished(work.rows.active_positions, work.output), flops


def _weighted(state, weight):
    return state * tf.cast(weight, state.dtype)[..., tf.newaxis]
