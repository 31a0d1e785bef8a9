"""Masked execution, where everything is computed and the mask decides what counts, and static
execution, which leaves out what no image can need.

Static shapes, so XLA can compile both. Masked is exactly the authors' arithmetic, batch statistics
included.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sact_tf.layers import tuning
from sact_tf.layers.execution.interface import BlockResult, Entry
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.conversion import zeros_like
from sact_tf.ops.flops import map_positions
from sact_tf.ops.positions import mean_over, sum_over
from sact_tf.ops.precision import at_least_float32
from sact_tf.ops.static_rows import place_rows


def run_masked(
    units: Sequence[Any],
    policy: HaltingPolicy,
    entry: Entry,
    statistics: str = "full",
    in_rows: bool = False,
) -> BlockResult:
    """Runs the units after the first; see `execute`.

    With `in_rows`, a unit that has a capacity is computed at as many rows, where that pays.

    The output is the sum of states weighted by the halting distribution (arXiv:1612.02297, eq. 10).
    As the weights from unit l on sum up to the remainder R_l on entering it, that equals
    x_1 + sum over l >= 2 of R_l f_l(x_{l-1}), which needs one multiply-add per unit.
    """
    state, mean, valid, training = entry
    if in_rows and mean is None:
        mean = mean_over(at_least_float32(state), valid)
    halting = policy.start(state, valid)
    flops = policy.flops(0, None, halting.active, state, valid)
    score = policy.score(0, state, training, valid, mean=mean)
    halting, weight = policy.step(0, halting, score)
    output, weights = state, [weight]
    for index, unit in enumerate(units[1:], start=1):
        active, outer, inner = halting.active, None, None
        if statistics == "evaluated":
            outer, inner = policy.evaluated(active, state, valid)
        if in_rows and _pays_in_rows(unit, policy.capacity(index)):
            rows = policy.rows_at_most(index, active)
            residual, total = unit.residual_at(
                state, rows, training=training, valid=valid, outer=outer
            )
            residual = place_rows(residual, rows)
        else:
            residual = unit.residual(
                state, training=training, valid=valid, outer=outer, inner=inner
            )
            if policy.freezes:
                residual *= tf.expand_dims(tf.cast(active, residual.dtype), -1)
            total = sum_over(at_least_float32(residual)) if in_rows else None
        state += residual
        mean = _moved(mean, total, state, valid) if in_rows else None
        if policy.kind is None:
            output = state
        else:
            remainder = halting.remainder
            if not policy.freezes:  # else the residual is zero there
                remainder = tf.where(active, remainder, zeros_like(remainder))
            remainder = tf.expand_dims(tf.cast(remainder, output.dtype), -1)
            with tf.control_dependencies([state]):  # after its last other reader, in place
                output += residual * remainder
        flops += policy.flops(index, unit, active, state, valid)
        score = policy.score(index, state, training, valid, positions=inner, mean=mean)
        halting, weight = policy.step(index, halting, score)
        weights.append(weight)
    return BlockResult(output, halting, weights, flops)


def _moved(mean, total, state, valid):
    """The mean of each image's states, [B, C], after something of a sum was added."""
    count = tf.cast(map_positions(tf.shape(state), valid), total.dtype)
    return mean + tf.math.divide_no_nan(total, count[:, tf.newaxis])


def _pays_in_rows(unit, share):
    if not hasattr(unit, "residual_at"):
        return False
    return share <= tuning.share_for_static_rows(unit.filters, unit.reach)
