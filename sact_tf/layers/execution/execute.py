"""Which function runs the units of a block."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sact_tf.layers.execution.auto import run_auto
from sact_tf.layers.execution.interface import BlockResult, CompactForm, Entry
from sact_tf.layers.execution.masked import run_masked
from sact_tf.layers.execution.rows import RowForm
from sact_tf.layers.execution.tiled import run_tiled
from sact_tf.layers.execution.tiled_images import run_tiled_images
from sact_tf.layers.execution.windows import WindowForm
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.layers.tuning import ROWS, Tuning
from sact_tf.ops.windows import window_grid

EXECUTIONS = ("masked", "tiled", "auto")


def execute(
    units: Sequence[Any],
    policy: HaltingPolicy,
    entry: Entry,
    execution: str = "masked",
    statistics: str = "full",
    tuning: Tuning = ROWS,
) -> BlockResult:
    """Runs the units after the entry, and the halting scores, of a block.

    The numbers of all executions are the same, up to rounding. In training "auto" runs as "tiled":
    moving statistics cannot be updated inside a branch under a distribution strategy, and Grappler
    turns sums of gradients into temporary variables that outlive a branch which is not taken.

    Args:
        units: the units of the block from the last entry unit on, with the interface that
            `ResidualUnit` describes.
        policy: when they halt.
        entry: what the entry units gave.
        execution: "masked", "tiled" or "auto"; see `AdaptiveBlock`.
        statistics: "full" or "evaluated"; where training takes the batch statistics.
        tuning: how "tiled" and "auto" compute what is active.

    Raises:
        NotImplementedError: tiled or auto inside a function that XLA compiles.
        TypeError: tiled or auto SACT of units that cannot run on rows.
        ValueError: tiled or auto training with statistics of the full map.
    """
    if execution == "masked" or policy.kind is None:
        return run_masked(units, policy, entry, statistics)
    _check_supported(units, policy, entry, execution, statistics)
    if policy.kind == "act":
        return run_tiled_images(units, policy, entry)
    form = _compact_form(units, policy, entry, tuning)
    if execution == "tiled" or entry.training:
        return run_tiled(units, policy, entry, form)
    return run_auto(units, policy, entry, form, tuning.dense_share)


def _compact_form(units, policy, entry, tuning) -> CompactForm:
    reach = units[-1].reach
    if tuning.window and not entry.training:
        grid = window_grid(entry.state, tuning.window, reach, policy.tile_size)
        return WindowForm(grid, entry.valid)
    return RowForm(entry.valid, reach)


def _check_supported(units, policy, entry, execution, statistics):
    """Raises where the number of active rows cannot be dynamic, or statistics not be had."""
    if _in_xla():
        raise NotImplementedError(
            f"execution={execution!r} has shapes that depend on the image, which XLA "
            "(jit_compile=True, TPU) cannot compile: use execution='masked' there "
            "(sact_tf.set_execution(model, 'masked'))"
        )
    if entry.training and statistics == "full":
        raise ValueError(
            f"execution={execution!r} does not compute the full map, whose batch statistics "
            "statistics='full' asks for in training: use statistics='evaluated' (or None)"
        )
    reaches = {getattr(unit, "reach", None) for unit in units}
    if policy.kind == "sact" and (len(reaches) > 1 or reaches == {None}):
        raise TypeError(
            f"execution={execution!r} needs units of one `reach` with `residual_rows` (see "
            f"sact_tf.layers.ResidualUnit), received {[type(u).__name__ for u in units]}"
        )


def _in_xla() -> bool:
    """Whether the graph being traced is for XLA.

    TensorFlow tells that in private modules only. Without the question XLA itself fails, on the
    first operation whose shape it cannot know, in words that lead nowhere.
    """
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
