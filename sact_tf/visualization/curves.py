"""Curves over training steps, in panels side by side."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sact_tf.visualization.figures import LIGHT, Theme


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a panel.

    Attributes:
        label: its name in the legend.
        steps: [points].
        values: [points], in the panel's unit.
        spread: [points], half the height of a band around the line, or None.
        marker: True draws the points as well, for curves of few points.
    """

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    spread: Sequence[float] | None = None
    marker: bool = False


@dataclasses.dataclass(frozen=True)
class Panel:
    """One diagram.

    Attributes:
        title: what it shows.
        unit: label of the vertical axis.
        series: its lines.
        reference: (label, value) of a dashed horizontal line, or None.
        limits: of the vertical axis; chosen by the data if None.
    """

    title: str
    unit: str
    series: Sequence[Series]
    reference: tuple[str, float] | None = None
    limits: tuple[float | None, float | None] | None = None


def curves_figure(panels: Sequence[Panel], columns: int = 2, theme: Theme = LIGHT) -> Figure:
    """Draws the panels in a grid, row by row.

    Args:
        panels: at least one.
        columns: panels in a row.
        theme: colours.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.1 * columns, 2.6 * rows))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw_panel(axis, panel, theme)
    return figure


def _draw_panel(axis, panel: Panel, theme: Theme) -> None:
    for series in panel.series:
        steps, values = np.asarray(series.steps), np.asarray(series.values, np.float64)
        (line,) = axis.plot(
            steps, values, label=series.label, marker="o" if series.marker else None, markersize=3
        )
        if series.spread is not None:
            spread = np.asarray(series.spread, np.float64)
            axis.fill_between(
                steps, values - spread, values + spread, color=line.get_color(), alpha=0.18, lw=0
            )
    if panel.reference is not None:
        label, value = panel.reference
        axis.axhline(value, color=theme.text, linestyle="--", linewidth=1, label=label)
    axis.set_title(panel.title)
    axis.set_xlabel("training step")
    axis.set_ylabel(panel.unit)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    # From the start of training: around a single point an axis has no scale of its own.
    axis.set_xlim(left=0)
    axis.ticklabel_format(axis="y", useOffset=False)
    if panel.limits is not None:
        axis.set_ylim(*panel.limits)
    if len(panel.series) > 1 or panel.reference is not None:
        axis.legend(fontsize=8)
