"""What the units of a block cost in each form, by which "tiled" and "auto" choose among them.

A cost is the time of a unit over that of the same unit computed densely (as "auto" does it, halting
score included). On rows and in windows it grows with what they hold: `fixed + each * share`, where
share is that of the positions that are active, or of the tiles that hold any such position.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

Line = tuple[float, float]
WINDOW = 8


@dataclasses.dataclass(frozen=True)
class Costs:
    """The costs of a block's units after the first, over those of dense ones.

    Attributes:
        rows: `(fixed, each)` on rows; None never takes rows in inference.
        windows: the same in windows; None never takes them.
        window: the most positions along a side of a window's tile.
    """

    rows: Line | None = None
    windows: Line | None = None
    window: int = WINDOW

    def to_config(self) -> dict[str, Any]:
        """The costs as a JSON-able dict, which `costs_from` takes."""
        lines = {name: line and list(line) for name, line in self._lines.items()}
        return {**lines, "window": self.window}

    @property
    def _lines(self) -> dict[str, Line | None]:
        return {"rows": self.rows, "windows": self.windows}

    def candidates(self, tile_size: int) -> dict[str, Line]:
        """The forms among which a block has to choose when it runs, "rows" and "windows".

        The share of tiles with active positions is never below the share of active positions, and
        equal to it where windows are tiles that halt as one.
        """
        lines = {name: line for name, line in self._lines.items() if line is not None}
        if len(lines) == 2:
            ends = [[fixed, fixed + each] for fixed, each in lines.values()]
            rows_minus_windows = [rows - windows for rows, windows in zip(*ends, strict=True)]
            if max(rows_minus_windows) <= 0:
                del lines["windows"]
            elif min(rows_minus_windows) >= 0 and tile_size >= self.window:
                del lines["rows"]
        return lines


# Bottlenecks: medians of benchmarks.break_even at 600x1000 and at 224x224 in batches of 1 and 8
# (docs/notes/performance.md, "Break-even"). Basic units: what `sact_tf.tuning.tune` measured of two
# trained networks, the quickstart's in batches of 64 and one of 96x96 in batches of 32. Two cores
# of an Intel Xeon virtual machine (AVX-512), TensorFlow 2.20, float32, 2026-11-26. Another
# processor, or a GPU, uses the same values until `tune` has measured there; they move time, never
# results.
_BOTTLENECK = {
    64: Costs(rows=(0.25, 0.90)),
    128: Costs(rows=(0.28, 0.78)),
    256: Costs(rows=(0.28, 0.72)),
    512: Costs(rows=(0.25, 0.68)),
}
_BASIC = {
    12: Costs(rows=(0.75, 3.8), windows=(0.4, 2.0)),
    24: Costs(rows=(0.65, 2.5), windows=(0.3, 1.75)),
    48: Costs(rows=(0.55, 2.0), windows=(0.4, 1.4)),
}


def default_costs(unit: Any, tile_size: int) -> Costs:
    """The costs of units like one that were measured: of its kind, at the nearest width.

    Windows are for tiles that fill them. Where positions halt by themselves, they gained next to
    nothing over rows, and choosing between two forms takes time itself: 0.15 of an image of 48x48.

    Args:
        unit: see `ResidualUnit`.
        tile_size: k; k x k positions halt as one.
    """
    reads_far = (getattr(unit, "reach", None) or 0) > 1  # 3x3 convolutions follow each other
    table = _BASIC if reads_far else _BOTTLENECK
    filters = getattr(unit, "filters", max(table))
    nearest = min(table, key=lambda width: abs(math.log(width / filters)))
    costs = table[nearest]
    takes_windows = has_windows(unit) and tile_size >= costs.window
    return costs if takes_windows else dataclasses.replace(costs, windows=None)


def has_windows(unit: Any) -> bool:
    """Whether a unit can run in windows."""
    return hasattr(unit, "residual_windows")


def costs_from(value: Mapping[str, Any] | Costs, unit: Any) -> Costs:
    """Checks costs and fills in what is missing.

    Args:
        value: `Costs`, or a mapping with some of its attributes.
        unit: of the block they are for.

    Raises:
        ValueError: what came is no costs, or the unit has no windows.
    """
    names = [field.name for field in dataclasses.fields(Costs)]
    given = value.to_config() if isinstance(value, Costs) else value
    if not isinstance(given, Mapping) or not given.keys() <= set(names):
        raise ValueError(f"Expected costs to have some of {names}, received {value!r}")
    lines = {name: _line(given.get(name), value) for name in ("rows", "windows")}
    if not any(lines.values()):
        raise ValueError(f"Expected costs of rows, of windows or of both, received {value!r}")
    if lines["windows"] and not has_windows(unit):
        raise ValueError(
            f"{type(unit).__name__} has no `residual_windows`: expected costs without windows, "
            f"received {value!r}"
        )
    window = given.get("window", WINDOW)
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ValueError(f"Expected the window of costs to be a positive int, received {value!r}")
    return Costs(**lines, window=window)


def _line(line, value):
    if line is None:
        return None
    is_pair = isinstance(line, tuple | list) and len(line) == 2
    if not is_pair or not all(isinstance(part, int | float) and part >= 0 for part in line):
        raise ValueError(
            f"Expected costs to be pairs of numbers >= 0, (fixed, each), received {value!r}"
        )
    return tuple(map(float, line))
