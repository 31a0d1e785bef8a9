"""Tiled execution of SACT: the active positions as compact rows.

After a block's first unit the states of the active positions are gathered into rows, and stay so:
the active set only shrinks within a block, and the frozen neighbours that a 3x3 convolution reads
(the ring) are always found among the rows of the unit before. A position's output leaves the rows
when it halts, and the block's output map is put together once, at its end.

B batch, H W map, A active positions, E ring positions, F finished ones, C channels.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished, assemble, run_unless_empty
from sact_tf.ops import flops as flops_ops
from sact_tf.ops.active_rows import ActiveRows, find_active_rows, to_map
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.positions import mean_over
from sact_tf.ops.row_convolution import take_rows
from sact_tf.ops.tiles import share_within_tiles


class Work(NamedTuple):
    """What is carried from unit to unit.

    Attributes:
        halting: `HaltingState` of maps [B, H, W].
        rows: `ActiveRows` of the active positions.
        active: [A, C]. States of the active positions.
        ring: [E, C]. States of the frozen positions around.
        output: [A, C]. Outputs of the active positions so far.
        mean: [B, C]. Mean of each image's states.
    """

    halting: HaltingState
    rows: ActiveRows
    active: tf.Tensor
    ring: tf.Tensor
    output: tf.Tensor
    mean: tf.Tensor


def run_tiled_positions(block, state, valid, training):
    """`run_tiled` for `halting="sact"`."""
    first = run_first_score(block, state, valid, training)
    if len(block.units) == 1:
        return state, first.halting, [first.weight], first.flops
    work, finished = gather_active(block, state, state, first.halting, first.mean, valid)
    weights, chunks, flops = [first.weight], [finished], first.flops
    for index in range(1, len(block.units)):
        flops += block.position_flops(
            index,
            flops_ops.count_positions(work.rows.outer),
            flops_ops.count_positions(work.halting.active),
        )
        work, weight, finished = run_unless_empty(
            lambda index=index, work=work: run_unit(block, index, work, valid, training),
            lambda work=work: skip_unit(work),
            work.rows.num_active,
            training,
        )
        weights.append(weight)
        chunks.append(finished)
    return assemble(chunks, state), work.halting, weights, flops


class First(NamedTuple):
    """After the first unit: `HaltingState`, weight [B, H, W], mean [B, C], int64 FLOPs [B]."""

    halting: HaltingState
    weight: tf.Tensor
    mean: tf.Tensor
    flops: tf.Tensor


def run_first_score(block, state, valid, training):
    """The halting score after the first unit, which is evaluated everywhere."""
    halting = block.initial_halting(state, valid)
    flops = block.unit_flops(0, halting.active, state, valid)
    mean = mean_over(tf.cast(state, halting.remainder.dtype), valid)
    score = block.halting_score(0, state, training, valid, mean=mean)
    halting, weight = block.halting_step(0, halting, score)
    return First(halting, weight, mean, flops)


def run_unit(block, index, work, valid, training):
    """One unit on the active rows, its halting score, and what follows from it.

    Returns:
        `(work, weight, finished)`.
    """
    rows, batch = work.rows, tf.shape(work.mean)[0]
    residual, total = block.units[index].residual_rows(
        work.active, work.ring, rows, batch, training=training
    )
    remainder = tf.gather(tf.reshape(work.halting.remainder, [-1]), rows.active_positions)
    remainder = tf.cast(remainder, residual.dtype)[:, tf.newaxis]
    active = work.active + residual
    output = work.output + residual * remainder
    shape = tf.shape(work.halting.active)
    if index == len(block.units) - 1:
        halting, weight = block.halting_step(index, work.halting, None)
        finished = Finished(rows.active_positions, output)
        return work._replace(halting=halting), weight, finished
    count = tf.cast(flops_ops.map_positions(shape, valid), total.dtype)
    mean = work.mean + tf.math.divide_no_nan(total, count[:, tf.newaxis])
    score = block.halting_scores[index](
        active, training=training, mean=mean, ring=work.ring, rows=rows
    )
    score = share_within_tiles(to_map(score, rows, shape), block.tile_size, valid)
    halting, weight = block.halting_step(index, work.halting, score)
    work = work._replace(active=active, output=output, mean=mean)
    work, finished = compact(work, halting, valid, block.units[index].reach, training)
    return work, weight, finished


def compact(work, halting, valid, reach, training):
    """Drops the rows of positions that have just halted; returns `(work, finished)`."""
    old = work.rows
    still = tf.gather(tf.reshape(halting.active, [-1]), old.active_positions)
    gone = tf.cast(tf.where(~still)[:, 0], tf.int32)
    finished = Finished(tf.gather(old.active_positions, gone), take_rows(work.output, gone))
    work = work._replace(halting=halting)

    def drop():
        new = find_active_rows(halting.active, valid, reach)
        kept = tf.gather(old.row_numbers, new.active_positions) - 1
        return work._replace(
            rows=new,
            active=take_rows(work.active, kept),
            ring=_new_ring(work, new),
            output=take_rows(work.output, kept),
        )

    # The copies are worth avoiding where nothing halted, as in the first units of most images.
    return (drop() if training else tf.cond(tf.size(gone) > 0, drop, lambda: work)), finished


def _new_ring(work, new):
    """Rows of the new ring: some were active until now, the others were in the ring already."""
    source = tf.gather(work.rows.row_numbers, new.ring_positions) - 1
    num_active = work.rows.num_active
    was_active = source < num_active
    places = tf.range(tf.size(source))
    parts = []
    for features, chosen, first in (
        (work.active, was_active, 0),
        (work.ring, ~was_active, num_active),
    ):
        index = tf.boolean_mask(source, chosen) - first
        parts.append((tf.boolean_mask(places, chosen), take_rows(features, index)))
    return tf.dynamic_stitch([place for place, _ in parts], [rows for _, rows in parts])


def gather_active(block, state, output, halting, mean, valid):
    """Moves from maps to compact rows.

    Args:
        block: the `AdaptiveBlock`.
        state, output: [B, H, W, C]; the states, and the outputs so far.
        halting: `HaltingState`.
        mean: [B, C].
        valid: optional bool [B, H, W].

    Returns:
        `(work, finished)`; finished are all positions that are not active.
    """
    rows = find_active_rows(halting.active, valid, block.units[-1].reach)
    states, outputs = (tf.reshape(maps, [-1, maps.shape[-1]]) for maps in (state, output))
    active = take_rows(states, rows.active_positions)
    work = Work(
        halting=halting,
        rows=rows,
        active=active,
        ring=take_rows(states, rows.ring_positions),
        output=active if output is state else take_rows(outputs, rows.active_positions),
        mean=mean,
    )
    gone = tf.cast(tf.where(~tf.reshape(halting.active, [-1]))[:, 0], tf.int32)
    return work, Finished(gone, take_rows(outputs, gone))


def skip_unit(work):
    """What `run_unit` returns when nothing is active."""
    # The empty rows are their own finished positions. (A slice [:0] would have a static shape,
    # which Grappler then takes for the shape of both branches.)
    nothing = Finished(work.rows.active_positions, work.output)
    return work, tf.zeros_like(work.halting.remainder), nothing
