"""Auto execution: each unit runs densely or in a compact form, whichever is cheaper.

The active set only shrinks within a block, so a block starts with dense units and changes over to
rows or windows once, before the first unit for which these are few enough.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.interface import BlockResult, CompactForm, Entry
from sact_tf.layers.execution.tiled import run_first_score
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops import flops as flops_ops


class MixedWork(NamedTuple):
    """What is carried from unit to unit.

    Attributes:
        dense: bool scalar. Whether the block still runs densely.
        state: [B, H, W, C]. States, up to the change to the compact form.
        output: [B, H, W, C]. States so far weighted by the halting distribution (eq. 10); from the
            change on, the outputs of what had halted before.
        work: of the compact form; before the change it is of nothing but `halting` and `mean`.
    """

    dense: tf.Tensor
    state: tf.Tensor
    output: tf.Tensor
    work: Any


def run_auto(
    units: Sequence[Any], policy: HaltingPolicy, entry: Entry, form: CompactForm, dense_share: float
) -> BlockResult:
    """Auto execution for `halting="sact"`, in inference only; see `execute`."""
    if entry.training:
        raise ValueError("Units cannot change their form in training, received training=True")
    state, valid = entry.state, entry.valid
    first = run_first_score(policy, entry)
    weights, chunks, flops = [first.weight], [], first.flops
    if len(units) == 1:
        return BlockResult(state, first.halting, weights, flops)
    present = flops_ops.map_positions(tf.shape(state), valid)
    mixed = _start(state, first, form, form.share(first.halting.active) > dense_share)
    for index, unit in enumerate(units[1:], start=1):
        if index > 1:
            mixed = _change_over(mixed, form, dense_share)
        mixed, weight, finished, unit_flops = tf.cond(
            mixed.dense,
            functools.partial(_run_dense, unit, policy, index, mixed, form, present, valid),
            functools.partial(_run_compact, unit, policy, index, mixed, form),
        )
        flops += unit_flops
        weights.append(weight)
        chunks.append(finished)
    output = tf.cond(mixed.dense, lambda: mixed.output, lambda: form.put_into(mixed.output, chunks))
    output = tf.ensure_shape(output, state.shape)
    return BlockResult(output, mixed.work.halting, weights, flops)


def _start(state, first, form, dense):
    """`MixedWork` before the second unit."""

    def stay():
        work = form.nothing(state, first.halting, first.mean)
        return MixedWork(tf.constant(True), state, _weighted(state, first.weight), work)

    def gather():
        work = form.gather(state, None, first.halting, first.mean)
        return MixedWork(tf.constant(False), state, state, work)

    return tf.cond(dense, stay, gather)


def _change_over(mixed, form, dense_share):
    """Gathers where the dense phase ends; returns `MixedWork`."""

    def gather():
        work = mixed.work
        work = form.gather(mixed.state, mixed.output, work.halting, work.mean)
        return mixed._replace(dense=tf.constant(False), work=work)

    few = form.share(mixed.work.halting.active) <= dense_share
    return tf.cond(mixed.dense & few, gather, lambda: mixed)


def _run_compact(unit, policy, index, mixed, form):
    work, *others = form.run_unit(unit, policy, index, mixed.work, False)
    return mixed._replace(work=work), *others


def _run_dense(unit, policy, index, mixed, form, present, valid):
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
    mixed = mixed._replace(state=state, output=output, work=work)
    return mixed, weight, form.left(work), flops


def _weighted(state, weight):
    return state * tf.cast(weight, state.dtype)[..., tf.newaxis]
