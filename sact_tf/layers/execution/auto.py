"""Auto execution: each unit runs densely or in a compact form, whichever costs least.

The active set only shrinks within a block, so a block starts with dense units and changes over to
rows or windows once, before the first unit for which these are few enough. A short block decides
once, before its first unit: each decision takes time itself, which is what a small network has
least of.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.choice import PricedForm, cheapest
from sact_tf.layers.execution.interface import BlockResult, Entry
from sact_tf.layers.execution.tiled import run_first_score, run_in
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops import flops as flops_ops
from sact_tf.ops.halting import HaltingState

_MOST_UNITS_DECIDED_AT_ONCE = 2
_DENSE = 0  # form i of the compact ones is number i + 1


class DenseWork(NamedTuple):
    """What is carried from one unit on whole maps to the next.

    Attributes:
        state: [B, H, W, C]. States.
        output: [B, H, W, C]. States so far weighted by the halting distribution (eq. 10).
        halting: `HaltingState` of maps [B, H, W].
        mean: [B, C]. Mean of each image's states.
    """

    state: tf.Tensor
    output: tf.Tensor
    halting: HaltingState
    mean: tf.Tensor


class MixedWork(NamedTuple):
    """What is carried from unit to unit.

    Attributes:
        form: int32 scalar. How the block runs now.
        state: [B, H, W, C]. States, up to the change to a compact form.
        output: [B, H, W, C]. States so far weighted by the halting distribution (eq. 10); from the
            change on, the outputs of what had halted before.
        halting: `HaltingState` of maps [B, H, W].
        mean: [B, C]. Mean of each image's states.
        works: of each compact form; all but the one that runs are of nothing.
    """

    form: tf.Tensor
    state: tf.Tensor
    output: tf.Tensor
    halting: HaltingState
    mean: tf.Tensor
    works: tuple[Any, ...]


def run_auto(
    units: Sequence[Any], policy: HaltingPolicy, entry: Entry, priced: Sequence[PricedForm]
) -> BlockResult:
    """Auto execution for `halting="sact"`, in inference only; see `execute`."""
    if entry.training:
        raise ValueError("Units cannot change their form in training, received training=True")
    state, valid = entry.state, entry.valid
    first = run_first_score(policy, entry)
    weights, flops = [first.weight], first.flops
    if len(units) == 1:
        return BlockResult(state, first.halting, weights, flops)
    if len(units) - 1 <= _MOST_UNITS_DECIDED_AT_ONCE:
        return _decide_once(units, policy, entry, priced, first)
    forms = [each.form for each in priced]
    chunks: list[list[Any]] = [[] for _ in forms]
    present = flops_ops.map_positions(tf.shape(state), valid)
    mixed = _start(state, first, forms, _best(priced, first.halting.active))
    for index, unit in enumerate(units[1:], start=1):
        if index > 1:
            mixed = _change_over(mixed, priced)
        branches = [
            functools.partial(_run_dense, unit, policy, index, mixed, forms, present, valid)
        ]
        branches += [
            functools.partial(_run_compact, unit, policy, index, mixed, forms, number)
            for number in range(len(forms))
        ]
        mixed, weight, finished, unit_flops = tf.switch_case(mixed.form, branches)
        flops += unit_flops
        weights.append(weight)
        for of_form, chunk in zip(chunks, finished, strict=True):
            of_form.append(chunk)
    output = _put_together(mixed, forms, chunks)
    output = tf.ensure_shape(output, state.shape)
    return BlockResult(output, mixed.halting, weights, flops)


def _decide_once(units, policy, entry, priced, first):
    """The whole block in the form that is the cheapest for what is active after the entry."""
    branches = [functools.partial(_run_all_dense, units, policy, entry, first)]
    branches += [
        functools.partial(run_in, each.form, units, policy, entry, first) for each in priced
    ]
    return tf.switch_case(_best(priced, first.halting.active), branches)


def _run_all_dense(units, policy, entry, first):
    state, valid = entry.state, entry.valid
    present = flops_ops.map_positions(tf.shape(state), valid)
    work = DenseWork(state, _weighted(state, first.weight), first.halting, first.mean)
    weights, flops = [first.weight], first.flops
    for index, unit in enumerate(units[1:], start=1):
        work, weight, unit_flops = _dense_unit(unit, policy, index, work, present, valid)
        weights.append(weight)
        flops += unit_flops
    return BlockResult(work.output, work.halting, weights, flops)


def _best(priced, active):
    """Number of the cheapest form; the dense one costs 1."""
    return cheapest([tf.ones([]), *(form.cost(active) for form in priced)])


def _start(state, first, forms, form):
    """`MixedWork` before the second unit."""
    halting, mean = first.halting, first.mean

    def nothing():
        return [other.nothing(state, halting, mean) for other in forms]

    def stay():
        output = _weighted(state, first.weight)
        return MixedWork(form, state, output, halting, mean, tuple(nothing()))

    def gather(number):
        works = nothing()
        works[number] = forms[number].gather(state, None, halting, mean)
        return MixedWork(form, state, state, halting, mean, tuple(works))

    gathers = [functools.partial(gather, number) for number in range(len(forms))]
    return tf.switch_case(form, [stay, *gathers])


def _change_over(mixed, priced):
    """Gathers where the dense phase ends; returns `MixedWork`."""

    def gather(number):
        works = list(mixed.works)
        works[number] = priced[number].form.gather(
            mixed.state, mixed.output, mixed.halting, mixed.mean
        )
        return mixed._replace(form=tf.constant(number + 1), works=tuple(works))

    gathers = [functools.partial(gather, number) for number in range(len(priced))]
    change = tf.where(mixed.form == _DENSE, _best(priced, mixed.halting.active), _DENSE)
    return tf.switch_case(change, [lambda: mixed, *gathers])


def _run_compact(unit, policy, index, mixed, forms, number):
    work, weight, left, flops = forms[number].run_unit(
        unit, policy, index, mixed.works[number], False
    )
    works, finished = list(mixed.works), _nothing_left(mixed, forms)
    works[number], finished[number] = work, left
    mixed = mixed._replace(halting=work.halting, mean=work.mean, works=tuple(works))
    return mixed, weight, finished, flops


def _run_dense(unit, policy, index, mixed, forms, present, valid):
    dense = DenseWork(mixed.state, mixed.output, mixed.halting, mixed.mean)
    dense, weight, flops = _dense_unit(unit, policy, index, dense, present, valid)
    return mixed._replace(**dense._asdict()), weight, _nothing_left(mixed, forms), flops


def _dense_unit(unit, policy, index, work, present, valid):
    """A unit on the whole map: `(work, weight, flops)`."""
    active = work.halting.active
    flops = tf.cond(
        tf.reduce_all(active),
        lambda: policy.flops_at(index, unit, present, present),
        lambda: policy.flops(index, unit, active, work.state, valid),
    )
    state, total = unit.advance(work.state, active, valid)
    mean, score = work.mean, None
    if policy.has_score(index):
        count = tf.cast(present, mean.dtype)
        mean += tf.math.divide_no_nan(total, count[:, tf.newaxis])
        score = policy.score(index, state, False, valid, mean=mean)
    halting, weight = policy.step(index, work.halting, score)
    output = work.output + _weighted(state, weight)
    return DenseWork(state, output, halting, mean), weight, flops


def _nothing_left(mixed, forms):
    """Empty `Finished` of all forms: their works are of nothing."""
    return [form.left(work) for form, work in zip(forms, mixed.works, strict=True)]


def _put_together(mixed, forms, chunks):
    branches = [
        functools.partial(form.put_into, mixed.output, of_form)
        for form, of_form in zip(forms, chunks, strict=True)
    ]
    return tf.switch_case(mixed.form, [lambda: mixed.output, *branches])


def _weighted(state, weight):
    return state * tf.cast(weight, state.dtype)[..., tf.newaxis]
