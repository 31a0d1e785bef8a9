"""Tiled execution of SACT: the active positions as compact rows.

After a block's first unit the states of the active positions are gathered into rows, and stay so:
the active set only shrinks within a block, and the frozen neighbours that a 3x3 convolution reads
(the ring) are always found among the rows of the unit before. A position's output leaves the rows
when it halts, and the block's output map is put together once, at its end.

B batch, H W map, A active positions, R rows (active positions and ring), F finished positions,
C channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished, put_into
from sact_tf.layers.execution.interface import BlockResult, Entry
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops import flops as flops_ops
from sact_tf.ops.active_rows import ActiveRows, find_active_rows
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.positions import mean_over
from sact_tf.ops.precision import at_least_float32
from sact_tf.ops.row_convolution import part_rows, regroup_rows, take_rows


class Work(NamedTuple):
    """What is carried from unit to unit.

    Attributes:
        halting: `HaltingState` of maps [B, H, W].
        rows: `ActiveRows` of the active positions.
        active: [A, C]. States of the active positions.
        ring: [R - A, C]. States of the frozen ones around.
        output: [A, C]. Outputs of the active positions so far.
        mean: [B, C]. Mean of each image's states.
    """

    halting: HaltingState
    rows: ActiveRows
    active: tf.Tensor
    ring: tf.Tensor
    output: tf.Tensor
    mean: tf.Tensor


def run_tiled_positions(units: Sequence[Any], policy: HaltingPolicy, entry: Entry) -> BlockResult:
    """Tiled execution for `halting="sact"`; see `execute`."""
    first = run_first_score(policy, entry)
    weights, chunks, flops = [first.weight], [], first.flops
    if len(units) == 1:
        return BlockResult(entry.state, first.halting, weights, flops)
    work = gather_active(entry.state, None, first.halting, first.mean, entry.valid, units[-1].reach)
    for index, unit in enumerate(units[1:], start=1):
        work, weight, finished, unit_flops = run_unit(unit, policy, index, work, entry)
        flops += unit_flops
        weights.append(weight)
        chunks.append(finished)
    return BlockResult(put_into(entry.state, chunks), work.halting, weights, flops)


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


def run_unit(
    unit: Any, policy: HaltingPolicy, index: int, work: Work, entry: Entry
) -> tuple[Work, tf.Tensor, Finished, tf.Tensor]:
    """One unit on the active rows, its halting score, and what follows from it.

    Returns:
        `(work, weight, finished, flops)`.
    """
    rows, batch = work.rows, tf.shape(work.mean)[0]
    outer, inner = map(flops_ops.count_positions, (rows.outer, work.halting.active))
    flops = policy.flops_at(index, unit, outer, inner)
    residual, total = unit.residual_rows(
        work.active, work.ring, rows, batch, training=entry.training
    )
    remainder = tf.gather(tf.reshape(work.halting.remainder, [-1]), rows.active_positions)
    remainder = tf.cast(remainder, residual.dtype)[:, tf.newaxis]
    active = work.active + residual
    with tf.control_dependencies([active]):  # after its last other reader, in place
        output = work.output + residual * remainder
    if not policy.has_score(index):
        halting, weight = policy.step(index, work.halting, None)
        finished = Finished(rows.active_positions, output)
        return work._replace(halting=halting), weight, finished, flops
    shape = tf.shape(work.halting.active)
    count = tf.cast(flops_ops.map_positions(shape, entry.valid), total.dtype)
    mean = work.mean + tf.math.divide_no_nan(total, count[:, tf.newaxis])
    score = policy.score_rows(index, active, work.ring, rows, mean, entry.training, entry.valid)
    halting, weight = policy.step(index, work.halting, score)
    work = work._replace(halting=halting, active=active, output=output, mean=mean)
    work, finished = compact(work, entry.valid, unit.reach)
    return work, weight, finished, flops


def compact(work: Work, valid: tf.Tensor | None, reach: int) -> tuple[Work, Finished]:
    """Drops the rows that the next unit does not read.

    Args:
        work: `Work` with the rows, states and outputs of the unit that has run, and the new halting
            state.
        valid: optional bool [B, H, W].
        reach: of the units.

    Returns:
        `(work, finished)`.
    """
    old = work.rows
    still = tf.gather(tf.reshape(work.halting.active, [-1]), old.active_positions)
    kept, gone = (tf.cast(tf.where(chosen)[:, 0], tf.int32) for chosen in (still, ~still))
    new = find_active_rows(
        work.halting.active, valid, reach, active_positions=tf.gather(old.active_positions, kept)
    )
    numbers = [
        tf.gather(new.row_numbers, positions)
        for positions in (old.active_positions, old.ring_positions)
    ]
    entering = tf.gather(old.row_numbers, new.ring_positions)
    active, ring = regroup_rows(work.active, work.ring, kept, entering, numbers)
    output, finished_output = part_rows(work.output, kept, gone)
    finished = Finished(tf.gather(old.active_positions, gone), finished_output)
    return Work(work.halting, new, active, ring, output, work.mean), finished


def gather_active(
    state: tf.Tensor,
    output: tf.Tensor | None,
    halting: HaltingState,
    mean: tf.Tensor,
    valid: tf.Tensor | None,
    reach: int,
) -> Work:
    """Moves from maps to compact rows.

    Args:
        state: [B, H, W, C].
        output: [B, H, W, C], the states so far weighted by the halting distribution (of what has
            halted, the output); None after the first unit.
        halting: `HaltingState`.
        mean: [B, C].
        valid: optional bool [B, H, W].
        reach: of the units.

    Returns:
        `Work`.
    """
    rows = find_active_rows(halting.active, valid, reach)
    flat = tf.reshape(state, [-1, state.shape[-1]])
    # In one, for the gradient's sake: each row is taken once.
    states = take_rows(flat, tf.concat([rows.active_positions, rows.ring_positions], axis=0))
    active, ring = tf.split(states, [rows.num_active, tf.size(rows.ring_positions)], num=2)
    active_output = active
    if output is not None:
        # sum of p_l x_l up to here + R x is x_1 + sum of R_l f_l, which rows carry on.
        outputs = tf.reshape(output, [-1, output.shape[-1]])
        remainder = tf.gather(tf.reshape(halting.remainder, [-1]), rows.active_positions)
        active_output *= tf.cast(remainder, state.dtype)[:, tf.newaxis]
        active_output += take_rows(outputs, rows.active_positions)
    return Work(halting, rows, active, ring, active_output, mean)
