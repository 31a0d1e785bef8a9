"""What a trade-off experiment writes: tables, figure, report."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sact_tf.files import atomic_write_json, atomic_write_text
from sact_tf.training.reports.report_parts import drawn
from sact_tf.training.reports.tables import render
from sact_tf.visualization import charts, figures, html

METHOD_NAMES = {
    "plain": "plain ResNet",
    "act": "ACT",
    "sact": "SACT",
    "act_matched": "baseline of ACT",
    "sact_matched": "baseline of SACT",
    "act_budget": "ACT, trained to a budget",
    "sact_budget": "SACT, trained to a budget",
    "act_calibrated": "ACT, calibrated",
    "sact_calibrated": "SACT, calibrated",
}
# Colour by kind, marker and line by what was done.
_COLORS = {"plain": None, "act": 1, "sact": 0}
_STYLES = {
    "": ("o", "-"),
    "matched": ("s", ":"),
    "budget": ("D", "--"),
    "calibrated": ("x", "-."),
}

Row = dict[str, Any]


def write_results(directory: pathlib.Path, rows: Sequence[Row], settings: str) -> None:
    """Writes `tradeoff.csv`, `units_per_block.md`, `tradeoff.png`, `report.html`, `metrics.json`.

    Args:
        directory: where.
        rows: one per run and image size: `method`, `value`, `seed`, `run`, and what
            `evaluate_at` gave.
        settings: the config as YAML.
    """
    atomic_write_text(directory / "tradeoff.csv", csv_text(rows))
    header, body = units_table(rows)
    atomic_write_text(directory / "units_per_block.md", render([header, *body], "markdown") + "\n")
    evaluations = [{**row, "name": f"{row['run']} at {row['image_size']}"} for row in rows]
    atomic_write_json(directory / "metrics.json", {"evaluations": evaluations})
    atomic_write_text(directory / "report.html", _report(directory, rows, settings))


def csv_text(rows: Sequence[Row]) -> str:
    """One line per run and image size; `flops_ratio` is a share of the plain network's FLOPs."""
    blocks = list(dict.fromkeys(block for row in rows for block in row["num_units"]))
    plain = ["method", "value", "seed", "image_size", "accuracy", "recall@5"]
    plain += ["flops_mean", "flops_std", "flops_ratio", "num_examples"]
    lines: list[list[Any]] = [[*plain, *(f"num_units_{block}" for block in blocks), "run"]]
    for row in rows:
        units = [row["num_units"].get(block) for block in blocks]
        row = {**row, "flops_ratio": _share_of_full(row, rows)}
        lines.append([*(row.get(key) for key in plain), *units, row["run"]])
    return render(lines, "csv") + "\n"


def units_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of units per block: means over seeds."""
    blocks = list(dict.fromkeys(block for row in rows for block in row["num_units"]))
    header = ["network", "image size", *blocks, "all blocks", "accuracy", "FLOPs of plain network"]
    body = []
    for group in _groups(rows).values():
        units = [_mean(row["num_units"].get(block, 0.0) for row in group) for block in blocks]
        body.append(
            [
                _label(group[0]),
                str(group[0]["image_size"]),
                *(f"{value:.2f}" for value in units),
                f"{sum(units):.2f}",
                _spread([row["accuracy"] for row in group], 4),
                f"{_mean(_share_of_full(row, rows) for row in group):.1%}",
            ]
        )
    return header, body


def tradeoff_figure(rows: Sequence[Row], theme: figures.Theme = figures.LIGHT) -> Figure:
    """FLOPs against accuracy, one panel per image size; error bars over images (figure 7).

    Several seeds: points are means over them, vertical bars their standard deviation.
    """
    sizes = sorted({row["image_size"] for row in rows})
    figure = Figure(figsize=(max(5.4, 3.9 * len(sizes)), 4.6))
    axes = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
    scale, unit = charts.flops_unit(max(row["flops_mean"] for row in rows))
    handles: dict[str, Any] = {}
    for axis, size in zip(axes, sizes, strict=True):
        at_size = [row for row in rows if row["image_size"] == size]
        for method in [name for name in METHOD_NAMES if any(r["method"] == name for r in at_size)]:
            groups = _groups(row for row in at_size if row["method"] == method).values()
            points = sorted((_point(group, scale) for group in groups), key=lambda p: p[0])
            handles[METHOD_NAMES[method]] = _draw_series(axis, method, points, theme)
        axis.set_title(f"{size} × {size} pixels")
        axis.set_xlabel(f"{unit} per image")
    axes[0].set_ylabel("accuracy on held-out images")
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles))
    )
    return figure


def _draw_series(axis, method: str, points, theme: figures.Theme):
    kind, _, variant = method.partition("_")
    number = _COLORS[kind]
    color = theme.text if number is None else theme.cycle[number]
    marker, line = _STYLES[variant]
    flops, flops_std, accuracy, accuracy_std = np.array(points).T
    return axis.errorbar(
        flops,
        accuracy,
        xerr=flops_std if flops_std.any() else None,
        yerr=accuracy_std if accuracy_std.any() else None,
        color=color,
        marker=marker,
        linestyle=line,
        markersize=5,
        linewidth=1.2,
        elinewidth=0.8,
        capsize=2,
        alpha=0.9,
    )


def _point(group: Sequence[Row], scale: float) -> tuple[float, float, float, float]:
    accuracies = [row["accuracy"] for row in group]
    return (
        _mean(row["flops_mean"] for row in group) / scale,
        _mean(row["flops_std"] for row in group) / scale,
        _mean(accuracies),
        float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
    )


def _report(directory: pathlib.Path, rows: Sequence[Row], settings: str) -> str:
    seeds = len({row["seed"] for row in rows})
    examples = rows[0]["num_examples"]
    caption = (
        "FLOPs (multiply-add = 2, convolutions only, halting branches included) against accuracy. "
        "Horizontal bars: one standard deviation over images"
        + ("; vertical bars: one over seeds." if seeds > 1 else ".")
    )
    picture = drawn(directory / "tradeoff.png", lambda theme: tradeoff_figure(rows, theme), caption)
    sections = {
        "FLOPs against accuracy": [picture],
        "Results and units per block": [
            html.table(*units_table(rows)),
            html.paragraph(
                "Units are means over images and positions. FLOPs are a share of the plain "
                "network's at the same image size. τ is the ponder weight; a baseline is the plain "
                "network with the rounded number of units of the ACT or SACT network of that τ."
            ),
        ],
        "Settings": [html.folded_text("config.yaml", settings)],
    }
    lead = (
        f"{len({row['run'] for row in rows})} networks, {seeds} seed{'s' if seeds > 1 else ''}, "
        f"{examples:,} held-out images at each size."
    )
    return html.page("FLOPs against accuracy", lead, sections)


def _groups(rows) -> dict[tuple, list[Row]]:
    """The seeds of one network at one image size together."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["value"], row["image_size"]), []).append(row)
    return groups


def _share_of_full(row: Row, rows: Sequence[Row]) -> float:
    """FLOPs over those of the experiment's plain network (a baseline's own share is always 1)."""
    full = [
        other["flops_mean"]
        for other in rows
        if other["method"] == "plain"
        and other["value"] is None
        and (other["seed"], other["image_size"]) == (row["seed"], row["image_size"])
    ]
    return row["flops_mean"] / full[0] if full else row["flops_ratio"]


def _label(row: Row) -> str:
    name, value = METHOD_NAMES[row["method"]], row["value"]
    if value is None:
        return name
    if row["method"] == "plain":
        return f"{name}-{value:g}"
    symbol = {"budget": "budget", "calibrated": "share"}.get(row["method"].partition("_")[2], "τ =")
    return f"{name}, {symbol} {value:g}"


def _spread(values: Sequence[float], digits: int) -> str:
    text = f"{_mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text


def _mean(values) -> float:
    return float(np.mean(list(values)))
