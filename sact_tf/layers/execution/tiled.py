"""Tiled execution of SACT: what has halted leaves the computation after the block's first unit."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.choice import PricedForm, cheapest
from sact_tf.layers.execution.interface import BlockResult, CompactForm, Entry
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.positions import mean_over
from sact_tf.ops.precision import at_least_float32


class First(NamedTuple):
    """What follows from the halting score after the last entry unit, which runs everywhere.

    Attributes:
        halting: the `HaltingState` then.
        weight: [B, H, W]. That unit's in the halting distribution.
        mean: [B, C]. Mean of each image's states.
        flops: int64 [B]. Operations of the score.
    """

    halting: HaltingState
    weight: tf.Tensor
    mean: tf.Tensor
    flops: tf.Tensor


def run_tiled(
    units: Sequence[Any], policy: HaltingPolicy, entry: Entry, priced: Sequence[PricedForm]
) -> BlockResult:
    """Tiled execution for `halting="sact"`, in the cheaper form for the first of its units."""
    first = run_first_score(policy, entry)
    if len(units) == 1:
        return BlockResult(entry.state, first.halting, [first.weight], first.flops)
    runs = [functools.partial(run_in, each.form, units, policy, entry, first) for each in priced]
    if len(runs) == 1:
        return runs[0]()
    best = cheapest([each.cost(first.halting.active) for each in priced])
    return tf.switch_case(best, runs)


def run_in(
    form: CompactForm, units: Sequence[Any], policy: HaltingPolicy, entry: Entry, first: First
) -> BlockResult:
    """Runs the units after the entry, which gave `first`, in one compact form."""
    weights, chunks, flops = [first.weight], [], first.flops
    work = form.gather(entry.state, None, first.halting, first.mean)
    for index, unit in enumerate(units[1:], start=1):
        work, weight, finished, unit_flops = form.run_unit(
            unit, policy, index, work, entry.training
        )
        flops += unit_flops
        weights.append(weight)
        chunks.append(finished)
    return BlockResult(form.put_into(entry.state, chunks), work.halting, weights, flops)


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
