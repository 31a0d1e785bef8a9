"""SACT on compact rows, one for each active position.

After a block's first unit the states of the active positions are gathered into rows, and stay so:
the active set only shrinks within a block, and the frozen neighbours that a 3x3 convolution reads
(the ring) are always found among the rows of the unit before. A position's output leaves the rows
when it halts, and the block's output map is put together once, at its end. For wide features; of
narrow ones the gathers of single positions cost more than what they save, see `windows.py`.

B batch, H W map, A active positions, R rows (active positions and ring), F finished positions,
C channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished, put_into
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops import flops as flops_ops
from sact_tf.ops.active_rows import ActiveRows, find_active_rows
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.row_convolution import part_rows, regroup_rows, take_rows


class RowWork(NamedTuple):
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


class RowForm:
    """The active positions of a block as rows; see `CompactForm`.

    Args:
        valid: optional bool [B, H, W]; what is not padding.
        reach: of the block's units.
    """

    def __init__(self, valid: tf.Tensor | None, reach: int) -> None:
        self.valid = valid
        self.reach = reach

    def share(self, active: tf.Tensor) -> tf.Tensor:
        """Share of the positions that have a row."""
        present = flops_ops.map_positions(tf.shape(active), self.valid)
        count = tf.reduce_sum(tf.cast(active, tf.float32))
        return tf.math.divide_no_nan(count, tf.cast(tf.reduce_sum(present), tf.float32))

    def nothing(self, state: tf.Tensor, halting: HaltingState, mean: tf.Tensor) -> RowWork:
        """Work without rows."""
        rows = find_active_rows(tf.zeros_like(halting.active), self.valid, self.reach)
        empty = tf.gather(tf.reshape(state, [-1, state.shape[-1]]), rows.active_positions)
        return RowWork(halting, rows, active=empty, ring=empty, output=empty, mean=mean)

    def gather(
        self,
        state: tf.Tensor,
        output: tf.Tensor | None,
        halting: HaltingState,
        mean: tf.Tensor,
    ) -> RowWork:
        """Moves from maps to rows."""
        rows = find_active_rows(halting.active, self.valid, self.reach)
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
        return RowWork(halting, rows, active, ring, active_output, mean)

    def run_unit(
        self,
        unit: Any,
        policy: HaltingPolicy,
        index: int,
        work: RowWork,
        training: bool | None = None,
    ) -> tuple[RowWork, tf.Tensor, Finished, tf.Tensor]:
        """One unit on the active rows, its halting score, and what follows from it."""
        rows, batch = work.rows, tf.shape(work.mean)[0]
        outer, inner = map(flops_ops.count_positions, (rows.outer, work.halting.active))
        flops = policy.flops_at(index, unit, outer, inner)
        residual, total = unit.residual_rows(work.active, work.ring, rows, batch, training=training)
        remainder = tf.gather(tf.reshape(work.halting.remainder, [-1]), rows.active_positions)
        remainder = tf.cast(remainder, residual.dtype)[:, tf.newaxis]
        active = work.active + residual
        with tf.control_dependencies([active]):  # after its last other reader, in place
            output = work.output + residual * remainder
        work = work._replace(output=output)
        if not policy.has_score(index):
            halting, weight = policy.step(index, work.halting, None)
            return work._replace(halting=halting), weight, self.left(work), flops
        shape = tf.shape(work.halting.active)
        count = tf.cast(flops_ops.map_positions(shape, self.valid), total.dtype)
        mean = work.mean + tf.math.divide_no_nan(total, count[:, tf.newaxis])
        score = policy.score_rows(index, active, work.ring, rows, mean, training, self.valid)
        halting, weight = policy.step(index, work.halting, score)
        work, finished = self._compact(work._replace(halting=halting, active=active, mean=mean))
        return work, weight, finished, flops

    def left(self, work: RowWork) -> Finished:
        """All that is still active, with its outputs."""
        return Finished(work.rows.active_positions, work.output)

    def put_into(self, maps: tf.Tensor, chunks: Sequence[Finished]) -> tf.Tensor:
        """Puts what has halted into the maps."""
        return put_into(maps, chunks)

    def _compact(self, work):
        """Drops the rows that the next unit does not read: `(work, finished)`.

        `work` has the rows, states and outputs of the unit that has run, and the new halting state.
        """
        old = work.rows
        still = tf.gather(tf.reshape(work.halting.active, [-1]), old.active_positions)
        kept, gone = (tf.cast(tf.where(chosen)[:, 0], tf.int32) for chosen in (still, ~still))
        new = find_active_rows(
            work.halting.active,
            self.valid,
            self.reach,
            active_positions=tf.gather(old.active_positions, kept),
        )
        numbers = [
            tf.gather(new.row_numbers, positions)
            for positions in (old.active_positions, old.ring_positions)
        ]
        entering = tf.gather(old.row_numbers, new.ring_positions)
        active, ring = regroup_rows(work.active, work.ring, kept, entering, numbers)
        output, finished_output = part_rows(work.output, kept, gone)
        finished = Finished(tf.gather(old.active_positions, gone), finished_output)
        return RowWork(work.halting, new, active, ring, output, work.mean), finished
