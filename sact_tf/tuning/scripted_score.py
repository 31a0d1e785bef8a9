"""Halting scores that make positions halt where somebody wants them to, to time what is left."""

from typing import Any

import tensorflow as tf

from sact_tf.layers import AdaptiveBlock
from sact_tf.ops.active_rows import ActiveRows
from sact_tf.ops.windows import WindowGrid, Windows, read_tiles


class ScriptedScore:
    """Takes the place of a `HaltingScore` of SACT, and computes it, so that its time counts.

    Args:
        score: the halting score.
        num_units: int32 variable [B, H, W], the units that each position shall run.
        number: of the unit (from 1) that this score follows.
        num_units_in_block: of its block.
    """

    def __init__(self, score: Any, num_units: tf.Variable, number: int, num_units_in_block: int):
        self._score = score
        self._num_units = num_units
        self._number = number
        self._going_on = 0.5 / num_units_in_block  # the sum stays below 1 - epsilon

    def __call__(self, inputs: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        return self._mix(self._score(inputs, **kwargs), tf.convert_to_tensor(self._num_units))

    def score_rows(
        self, active: tf.Tensor, ring: tf.Tensor, rows: ActiveRows, *args: Any
    ) -> tf.Tensor:
        num_units = tf.reshape(tf.convert_to_tensor(self._num_units), [-1])
        num_units = tf.gather(num_units, rows.active_positions)
        return self._mix(self._score.score_rows(active, ring, rows, *args), num_units)

    def score_windows(
        self, patches: tf.Tensor, windows: Windows, grid: WindowGrid, *args: Any
    ) -> tf.Tensor:
        num_units = read_tiles(tf.convert_to_tensor(self._num_units), windows, grid)
        return self._mix(self._score.score_windows(patches, windows, grid, *args), num_units)

    def flops(self, positions: tf.Tensor) -> tf.Tensor:
        return self._score.flops(positions)

    def _mix(self, true_score, num_units):
        script = tf.where(num_units <= self._number, 1.0, self._going_on)
        return tf.cast(script, true_score.dtype) - 1e-6 * true_score


def scripted_scores(
    block: AdaptiveBlock, num_units: tf.Variable, num_units_in_block: int
) -> list[ScriptedScore]:
    """Scripted scores in place of the first of a block's own, for as many of its units."""
    scores = block.halting_scores[: num_units_in_block - 1]
    return [
        ScriptedScore(score, num_units, number, num_units_in_block)
        for number, score in enumerate(scores, start=1)
    ]
