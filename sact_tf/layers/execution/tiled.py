"""Tiled execution of SACT: what has halted leaves the computation after the block's first unit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.interface import BlockResult, CompactForm, Entry
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.positions import mean_over
from sact_tf.ops.precision import at_least_float32


def run_tiled(
    units: Sequence[Any], policy: HaltingPolicy, entry: Entry, form: CompactForm
) -> BlockResult:
    """Tiled execution for `halting="sact"`; see `execute`."""
    first = run_first_score(policy, entry)
    weights, chunks, flops = [first.weight], [], first.flops
    if len(units) == 1:
        return BlockResult(entry.state, first.halting, weights, flops)
    work = form.gather(entry.state, None, first.halting, first.mean)
    for index, unit in enumerate(units[1:], start=1):
        work, weight, finished, unit_flops = form.run_unit(
            unit, policy, index, work, entry.training
        )
        flops += unit_flops
        weights.append(weight)
        chunks.append(finished)
    return BlockResult(form.put_into(entry.state, chunks), work.halting, weights, flops)


class First(NamedTuple):
    """After the first unit: `HaltingState`, weight [B, H, W], mean [B, C], int64 FLOPs [B]."""

    halting: HaltingState
    weight: tf.Tensor
    mean: tf.Tensor
    flops: tf.Tensor


def run_first_score(policy: HaltingPolicy, entry: Entry) -> First:
    """The halting score after the first unit, which is evaluated everywhere."""
    state, mean, valid, training = entry
    halting = policy.start(state, valid)
    flops = policy.flops(0, None, halting.active, state, valid)
    if mean is None:
        mean = mean_over(at_least_float32(state), valid)
    score = policy.score(0, state, training, valid, mean=mean)
    halting, weight = policy.step(0, halting, score)
    return First(halting, weight, mean, flops)
