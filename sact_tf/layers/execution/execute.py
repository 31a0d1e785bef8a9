"""Which function runs the units of a block."""

from collections.abc import Sequence
from typing import Any

from sact_tf.layers.costs import Costs
from sact_tf.layers.execution.auto import run_auto
from sact_tf.layers.execution.choice import PricedForm
from sact_tf.layers.execution.interface import BlockResult, Entry
from sact_tf.layers.execution.masked import run_masked
from sact_tf.layers.execution.rows import RowForm
from sact_tf.layers.execution.tiled import run_tiled
from sact_tf.layers.execution.tiled_images import run_tiled_images
from sact_tf.layers.execution.windows import WindowForm
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.conversion import is_converting
from sact_tf.ops.devices import in_xla
from sact_tf.ops.windows import window_grid

EXECUTIONS = ("masked", "tiled", "auto", "static")
_ROWS = Costs(rows=(0.0, 1.0))


def execute(
    units: Sequence[Any],
    policy: HaltingPolicy,
    entry: Entry,
    execution: str = "masked",
    statistics: str = "full",
    costs: Costs = _ROWS,
) -> BlockResult:
    """Runs the units after the entry, and the halting scores, of a block.

    The numbers of all executions are the same, up to rounding. In training "auto" runs as "tiled":
    moving statistics cannot be updated inside a branch under a distribution strategy, and Grappler
    turns sums of gradients into temporary variables that outlive a branch which is not taken.
    A graph that will be converted (`sact_tf.ops.conversion`) has no branches: there both run in one
    form, on rows, or in windows where tiles that halt as one fill them.

    Args:
        units: the units of the block from the last entry unit on, with the interface that
            `ResidualUnit` describes.
        policy: when they halt.
        entry: what the entry units gave.
        execution: "masked", "tiled", "auto" or "static"; see `AdaptiveBlock`.
        statistics: "full" or "evaluated"; where training takes the batch statistics.
        costs: by which "tiled" and "auto" choose the form of a unit in inference; training runs on
            rows.

    Raises:
        NotImplementedError: tiled or auto inside a function that XLA compiles.
        TypeError: tiled or auto SACT of units that cannot run on rows.
        ValueError: tiled, auto or static training with statistics of the full map.
    """
    if execution == "masked" or policy.kind is None:
        return run_masked(units, policy, entry, statistics)
    _check_statistics(entry, execution, statistics)
    if execution == "static":
        return run_masked(units, policy, entry, "evaluated", in_rows=policy.kind == "sact")
    _check_supported(units, policy, execution)
    if policy.kind == "act":
        return run_tiled_images(units, policy, entry)
    forms = _compact_forms(units, policy, entry, costs)
    if is_converting():
        return run_tiled(units, policy, entry, forms[:1])
    if execution == "tiled" or entry.training:
        return run_tiled(units, policy, entry, forms)
    return run_auto(units, policy, entry, forms)


def _compact_forms(units, policy, entry, costs):
    rows = RowForm(entry.valid, units[-1].reach)
    if entry.training:
        return [PricedForm(rows, (0.0, 1.0))]
    grid = window_grid(entry.state, costs.window, rows.reach, policy.tile_size)
    forms = {"rows": rows, "windows": WindowForm(grid, entry.valid)}
    candidates = costs.candidates(policy.tile_size)
    return [PricedForm(forms[name], line) for name, line in candidates.items()]


def _check_statistics(entry, execution, statistics):
    """Raises where statistics cannot be had."""
    if entry.training and statistics == "full":
        raise ValueError(
            f"execution={execution!r} does not compute the full map, whose batch statistics "
            "statistics='full' asks for in training: use statistics='evaluated' (or None)"
        )


def _check_supported(units, policy, execution):
    """Raises where the number of active rows cannot be dynamic."""
    if in_xla():
        raise NotImplementedError(
            f"execution={execution!r} has shapes that depend on the image, which XLA "
            "(jit_compile=True, TPU) cannot compile: use execution='masked' there "
            "(sact_tf.set_execution(model, 'masked')), or 'static' with capacities"
        )
    reaches = {getattr(unit, "reach", None) for unit in units}
    if policy.kind == "sact" and (len(reaches) > 1 or reaches == {None}):
        raise TypeError(
            f"execution={execution!r} needs units of one `reach` with `residual_rows` (see "
            f"sact_tf.layers.ResidualUnit), received {[type(u).__name__ for u in units]}"
        )
