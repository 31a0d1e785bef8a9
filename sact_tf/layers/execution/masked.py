"""Masked execution: everything is computed, the mask decides what counts.

Static shapes, so XLA can compile it; exactly the authors' arithmetic, batch statistics included.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sact_tf.layers.execution.interface import BlockResult, Entry
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.conversion import zeros_like


def run_masked(
    units: Sequence[Any], policy: HaltingPolicy, entry: Entry, statistics: str = "full"
) -> BlockResult:
    """Runs the units after the first; see `execute`.

    The output is the sum of states weighted by the halting distribution (arXiv:1612.02297, eq. 10).
    As the weights from unit l on sum up to the remainder R_l on entering it, that equals
    x_1 + sum over l >= 2 of R_l f_l(x_{l-1}), which needs one multiply-add per unit.
    """
    state, mean, valid, training = entry
    halting = policy.start(state, valid)
    flops = policy.flops(0, None, halting.active, state, valid)
    score = policy.score(0, state, training, valid, mean=mean)
    halting, weight = policy.step(0, halting, score)
    output, weights = state, [weight]
    for index, unit in enumerate(units[1:], start=1):
        active, outer, inner = halting.active, None, None
        if statistics == "evaluated":
            outer, inner = policy.evaluated(active, state, valid)
        residual = unit.residual(state, training=training, valid=valid, outer=outer, inner=inner)
        if policy.freezes:
            residual *= tf.expand_dims(tf.cast(active, residual.dtype), -1)
        state += residual
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
        score = policy.score(index, state, training, valid, positions=inner)
        halting, weight = policy.step(index, halting, score)
        weights.append(weight)
    return BlockResult(output, halting, weights, flops)
