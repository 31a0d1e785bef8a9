"""Auto execution: each unit runs densely or on compact rows, whichever is cheaper.

The active set only shrinks within a block, so a block starts with dense units and changes over to
rows once, before the first unit at which few enough positions are active.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished, put_into
from sact_tf.layers.execution.interface import BlockResult, Entry
from sact_tf.layers.execution.tiled_positions import (
    Work,
    gather_active,
    run_first_score,
    run_unit,
)
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops import flops as flops_ops
from sact_tf.ops.active_rows import find_active_rows


class MixedWork(NamedTuple):
    """What is carried from unit to unit.

    Attributes:
        dense: bool scalar. Whether the block still runs densely.
        state: [B, H, W, C]. States, up to the change to rows.
        output: [B, H, W, C]. States so far weighted by the halting distribution (eq. 10); from the
            change to rows on, the outputs of what had halted before.
        work: `Work`; its halting state and mean are those of either phase, its rows are empty
            before the change.
    """

    dense: tf.Tensor
    state: tf.Tensor
    output: tf.Tensor
    work: Work


def run_auto_positions(
    units: Sequence[Any], policy: HaltingPolicy, entry: Entry, dense_share: float
) -> BlockResult:
    """Auto execution for `halting="sact"`, in inference only; see `execute`."""
    if entry.training:
        raise ValueError("Units cannot change over to rows in training, received training=True")
    state, valid = entry.state, entry.valid
    first = run_first_score(policy, entry)
    weights, chunks, flops = [first.weight], [], first.flops
    if len(units) == 1:
        return BlockResult(state, first.halting, weights, flops)
    reach = units[-1].reach
    present = flops_ops.map_positions(tf.shape(state), valid)
    limit = dense_share * tf.cast(tf.reduce_sum(present), tf.float32)
    mixed = _start(state, first, _many_active(first.halting, limit), valid, reach)
    for index, unit in enumerate(units[1:], start=1):
        if index > 1:
            mixed = _change_over(mixed, _many_active(mixed.work.halting, limit), valid, reach)
        mixed, weight, finished, unit_flops = tf.cond(
            mixed.dense,
            functools.partial(_run_dense, unit, policy, index, mixed, present, valid),
            functools.partial(_run_rows, unit, policy, index, mixed, entry),
        )
        flops += unit_flops
        weights.append(weight)
        chunks.append(finished)
    output = tf.cond(mixed.dense, lambda: mixed.output, lambda: put_into(mixed.output, chunks))
    output = tf.ensure_shape(output, state.shape)
    return BlockResult(output, mixed.work.halting, weights, flops)


def _many_active(halting, limit):
    return tf.reduce_sum(tf.cast(halting.active, tf.float32)) > limit


def _start(state, first, dense, valid, reach):
    """`MixedWork` before the second unit, dense or on rows."""
    rows = find_active_rows(tf.zeros_like(first.halting.active), valid, reach)
    empty = tf.gather(tf.reshape(state, [-1, state.shape[-1]]), rows.active_positions)

    def stay():
        work = Work(first.halting, rows, active=empty, ring=empty, output=empty, mean=first.mean)
        return MixedWork(tf.constant(True), state, _weighted(state, first.weight), work)

    def gather():
        work = gather_active(state, None, first.halting, first.mean, valid, reach)
        return MixedWork(tf.constant(False), state, state, work)

    return tf.cond(dense, stay, gather)


def _change_over(mixed, stays_dense, valid, reach):
    """Gathers the rows where the dense phase ends; returns `MixedWork`."""

    def gather():
        work = mixed.work
        work = gather_active(mixed.state, mixed.output, work.halting, work.mean, valid, reach)
        return mixed._replace(dense=tf.constant(False), work=work)

    return tf.cond(mixed.dense & ~stays_dense, gather, lambda: mixed)


def _run_rows(unit, policy, index, mixed, entry):
    work, *others = run_unit(unit, policy, index, mixed.work, entry)
    return mixed._replace(work=work), *others


def _run_dense(unit, policy, index, mixed, present, valid):
    """A unit as masked execution runs it, but added to the state inside its last convolution."""
    work = mixed.work
    active = work.halting.active
    everywhere = tf.reduce_all(active)
    flops = tf.cond(
        everywhere,
        lambda: policy.flops_at(index, unit, present, present),
        lambda: policy.flops(index, unit, active, mixed.state, valid),
    )
    residual, total = unit.residual_and_sum(mixed.state, active, valid)
    state = mixed.state + residual
    state = tf.cond(
        everywhere,
        lambda: state,
        lambda: tf.where(active[..., tf.newaxis], state, mixed.state),
    )
    mean, score = work.mean, None
    if policy.has_score(index):
        count = tf.cast(present, mean.dtype)
        mean += tf.math.divide_no_nan(total, count[:, tf.newaxis])
        score = policy.score(index, state, False, valid, mean=mean)
    halting, weight = policy.step(index, work.halting, score)
    output = mixed.output + _weighted(state, weight)
    work = work._replace(halting=halting, mean=mean)
    finished = Finished(work.rows.active_positions, work.output)
    return mixed._replace(state=state, output=output, work=work), weight, finished, flops


def _weighted(state, weight):
    return state * tf.cast(weight, state.dtype)[..., tf.newaxis]
