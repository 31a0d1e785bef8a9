"""When a block's positions or images stop: what an execution asks, apart from units and Keras."""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sact_tf.layers.capacities import Capacities
from sact_tf.ops import capacity as capacity_ops
from sact_tf.ops import halting as halting_ops
from sact_tf.ops.active_rows import ActiveRows, to_map
from sact_tf.ops.flops import count_positions, map_positions
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.static_rows import StaticRows, find_static_rows
from sact_tf.ops.tiles import dilate, share_within_tiles
from sact_tf.ops.windows import WindowGrid, Windows, from_lines, write_tiles, zero_lines


class HaltingPolicy:
    """The halting of a block (arXiv:1612.02297, algorithms 1 and 2), unit by unit.

    Units are numbered from 0, the last entry unit of the block, which runs everywhere before the
    policy is asked for the first time. A score is asked for after each unit but the last, which
    halts all that is left.

    B batch, H W map, A active positions, C channels.

    Args:
        kind: None (all units run), "act" (each image halts as one) or "sact" (each position).
        num_units: units of the block from the last entry unit on.
        scores: one halting score for each unit but the last; none for kind None. Called as
            `HaltingScore`, whose `score_rows` and `flops` are used as well.
        epsilon: halt at a cumulative score of 1 - epsilon.
        tile_size: k; scores are averaged over k x k tiles, which halt as one ("sact" only).
        units_before: units that have run everywhere before unit 0, with a halting score of 0.
        capacities: how many positions may enter each unit after unit 0; None is all ("sact" only).
    """

    def __init__(
        self,
        kind: str | None,
        num_units: int,
        scores: Sequence[Any] = (),
        epsilon: float = 0.01,
        tile_size: int = 1,
        units_before: int = 0,
        capacities: Capacities | None = None,
    ) -> None:
        self.kind = kind
        self.num_units = num_units
        self.scores = scores
        self.epsilon = epsilon
        self.tile_size = tile_size
        self.units_before = units_before
        self.capacities = capacities

    @property
    def freezes(self) -> bool:
        """Whether a position that halted keeps its state; the authors' ACT computes on."""
        return self.kind == "sact"

    def has_score(self, index: int) -> bool:
        """Whether there is a score after unit `index`."""
        return index < len(self.scores)

    def start(self, state: tf.Tensor, valid: tf.Tensor | None) -> HaltingState:
        """The `HaltingState` before unit 0: the units before it have been spent, and nothing else.

        Args:
            state: [B, H, W, C].
            valid: optional bool [B, H, W]; what is not padding.
        """
        shape, static = tf.shape(state)[:3], state.shape[:3]
        if self.kind != "sact":
            shape, static, valid = tf.stack([shape[0], 1, 1]), (state.shape[0], 1, 1), None
        halting = halting_ops.initial_state(shape, state.dtype, valid)
        for tensor in halting:
            tensor.set_shape(static)  # an operation would be one that LiteRT does not have
        if not self.units_before:
            return halting
        spent = self.units_before * tf.cast(halting.active, tf.int32)
        cost = tf.cast(spent, halting.ponder_cost.dtype)
        return halting._replace(num_units=spent, ponder_cost=cost)

    def score(
        self,
        index: int,
        state: tf.Tensor,
        training: bool | None,
        valid: tf.Tensor | None,
        positions: tf.Tensor | None = None,
        mean: tf.Tensor | None = None,
    ) -> tf.Tensor | None:
        """Scores after unit `index`, shared within tiles; None where there are none.

        Args:
            index: number of the unit.
            state: its output, [B, H, W, C].
            training, valid, positions, mean: as in the call of `HaltingScore`.

        Returns:
            [B, 1, 1] or [B, H, W].
        """
        if not self.has_score(index):
            return None
        score = self.scores[index](
            state, training=training, valid=valid, positions=positions, mean=mean
        )
        return share_within_tiles(score, self.tile_size, valid)

    def score_rows(
        self,
        index: int,
        active: tf.Tensor,
        ring: tf.Tensor,
        rows: ActiveRows,
        mean: tf.Tensor,
        training: bool | None,
        valid: tf.Tensor | None,
    ) -> tf.Tensor:
        """`score` of a unit but the last from compact rows, for "sact".

        Args:
            index: number of the unit.
            active, ring, rows, mean, training: as in `HaltingScore.score_rows`.
            valid: optional bool [B, H, W].

        Returns:
            [B, H, W], 0 where nothing is active (and outside of its tiles).
        """
        score = self.scores[index].score_rows(active, ring, rows, mean, training)
        score = to_map(score, rows.active_positions, tf.shape(rows.outer))
        return share_within_tiles(score, self.tile_size, valid)

    def score_windows(
        self,
        index: int,
        patches: tf.Tensor,
        windows: Windows,
        grid: WindowGrid,
        mean: tf.Tensor,
        valid: tf.Tensor | None,
    ) -> tf.Tensor:
        """`score` of a unit but the last in windows, for "sact" in inference.

        Args:
            index: number of the unit.
            patches: [A, h + 2 reach, w + 2 reach, C]. Its output in the windows.
            windows, grid: the `Windows` and their `WindowGrid`.
            mean: [B, C], the mean of each image's states.
            valid: optional bool [B, H, W].

        Returns:
            [B, H, W], 0 outside of the windows' tiles.
        """
        score = self.scores[index].score_windows(patches, windows, grid, mean)
        score = from_lines(write_tiles(zero_lines(grid, score.dtype), score, windows), grid)
        return share_within_tiles(score, self.tile_size, valid)

    def step(
        self, index: int, halting: HaltingState, score: tf.Tensor | None
    ) -> tuple[HaltingState, tf.Tensor]:
        """`sact_tf.ops.halting.halting_step` after unit `index`; no score counts as 0.

        What is beyond the capacity of the next unit halts as well.
        """
        if score is None:
            score = tf.zeros_like(halting.remainder)
        is_last = index == self.num_units - 1
        admit = None if is_last else self._admit(index + 1)
        return halting_ops.halting_step(halting, score, self.epsilon, is_last, admit)

    def capacity(self, index: int) -> float:
        """Share of the map's tiles that may enter unit `index`; 1 is all."""
        return 1.0 if index == 0 or self.capacities is None else self.capacities.shares[index - 1]

    def rows_at_most(self, index: int, active: tf.Tensor) -> StaticRows:
        """The active positions that enter unit `index`, bool [B, H, W], in as many rows as may."""
        share, per = self.capacity(index), "image"
        if self.capacities is not None:
            per = self.capacities.per
        number = capacity_ops.most_positions(active, share, self.tile_size, per)
        return find_static_rows(active, number, per)

    def _admit(self, index):
        """Who may enter a unit, as `halting_step` asks; None where everybody may."""
        if self.capacities is None or self.capacity(index) == 1:
            return None
        share, per = self.capacity(index), self.capacities.per
        return functools.partial(capacity_ops.admit, share=share, tile_size=self.tile_size, per=per)

    def evaluated(
        self, active: tf.Tensor, state: tf.Tensor, valid: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Positions at which a unit's first convolution and the later ones are evaluated.

        Args:
            active: bool [B, H, W] or [B, 1, 1]; what enters the unit.
            state: [B, H, W, C].
            valid: optional bool [B, H, W].

        Returns:
            `(outer, inner)`, bool [B, H, W]; for "sact" `outer` is the dilated active positions
            inside the image.
        """
        if self.kind == "sact":
            outer = dilate(active)
            return (outer if valid is None else outer & valid), active
        everywhere = tf.ones(tf.shape(state)[:3], tf.bool) if valid is None else valid
        return everywhere & active, everywhere & active

    def flops(
        self,
        index: int,
        unit: Any,
        active: tf.Tensor,
        state: tf.Tensor,
        valid: tf.Tensor | None,
    ) -> tf.Tensor:
        """Operations of a unit and of the score after it, for what is active.

        Args:
            index: number of the unit.
            unit: the unit, see `ResidualUnit`; None leaves out its own operations.
            active, state, valid: as in `evaluated`.

        Returns:
            int64 [B].
        """
        if self.kind == "sact":
            outer, inner = map(count_positions, self.evaluated(active, state, valid))
        else:
            outer = inner = map_positions(tf.shape(state), valid)
        flops = self.flops_at(index, unit, outer, inner)
        if self.kind == "act":
            flops *= tf.cast(active[:, 0, 0], tf.int64)
        return flops

    def flops_at(self, index: int, unit: Any, outer: tf.Tensor, inner: tf.Tensor) -> tf.Tensor:
        """`flops` by numbers of positions, int64 [B], as `ResidualUnit.flops` takes them."""
        flops = tf.zeros_like(inner) if unit is None else unit.flops(outer, inner)
        if self.has_score(index):
            score_flops = self.scores[index].flops(inner)
            flops = score_flops if unit is None else flops + score_flops
        return flops
