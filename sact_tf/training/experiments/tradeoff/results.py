"""What a trade-off experiment writes: tables, figure, report."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sact_tf.files import atomic_write_json, atomic_write_text
from sact_tf.training.loop.inference_time import times_of
from sact_tf.training.reports import times
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
_LEGEND_INCHES = 2.6  # Width of the longest name in a legend.
# Marker and line by what was done; the colour is that of the kind.
_STYLES = {
    "": ("o", "-"),
    "matched": ("s", ":"),
    "budget": ("D", "--"),
    "calibrated": ("x", "-."),
}

_ABOUT_TIMES = (
    "The time of an ACT or SACT network is a share of its plain network's in the same turns; that "
    "of another plain network is compared with one of another hour, so it is less exact."
)

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
    """One line per run and image size; ratios are shares of the experiment's plain network's."""
    blocks = list(dict.fromkeys(block for row in rows for block in row["num_units"]))
    plain = ["method", "value", "seed", "image_size", "accuracy", "recall@5"]
    plain += ["flops_mean", "flops_std", "flops_ratio", "num_examples"]
    plain += ["batch_size", "milliseconds_per_image", "time_ratio"]
    lines: list[list[Any]] = [[*plain, *(f"num_units_{block}" for block in blocks), "run"]]
    for row in rows:
        units = [row["num_units"].get(block) for block in blocks]
        if times_of(row):
            row = {**row, **times_of(row)[-1], "time_ratio": _time_of_full(row, rows)}
        row = {**row, "flops_ratio": _share_of_full(row, rows)}
        lines.append([*(row.get(key) for key in plain), *units, row["run"]])
    return render(lines, "csv") + "\n"


def units_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of units per block: means over seeds."""
    blocks = list(dict.fromkeys(block for row in rows for block in row["num_units"]))
    header = ["network", "image size", *blocks, "all blocks", "accuracy", "FLOPs of plain network"]
    timed = any(times_of(row) for row in rows)
    header += ["ms per image", "time of plain network"] if timed else []
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
                *(_times(group, rows) if timed else ()),
            ]
        )
    return header, body


def tradeoff_figure(rows: Sequence[Row], theme: figures.Theme = figures.LIGHT) -> Figure:
    """FLOPs against accuracy, one panel per image size; error bars over images (figure 7).

    Below them the time per image against accuracy, where it was measured. Several seeds: points are
    means over them, vertical bars their standard deviation.
    """
    sizes = sorted({row["image_size"] for row in rows})
    timed = [row for row in rows if times_of(row)]
    lines = 2 if timed else 1
    width = max(5.4, 3.9 * len(sizes))
    figure = Figure(figsize=(width, 1.0 + 3.6 * lines))
    axes = figure.subplots(lines, len(sizes), squeeze=False, sharey=True)
    scale, unit = charts.flops_unit(max(row["flops_mean"] for row in rows))
    handles: dict[str, Any] = {}
    for column, size in zip(axes.T, sizes, strict=True):
        column[0].set_title(f"{size} × {size} pixels")
        handles |= _draw_panel(column[0], rows, size, lambda group: _point(group, scale), theme)
        column[0].set_xlabel(f"{unit} per image")
        if timed:
            _draw_panel(column[1], timed, size, _point_in_time, theme)
            column[1].set_xlabel("ms per image, fastest execution")
            column[1].set_xlim(left=0)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy on held-out images")
    columns = min(4, len(handles), int(width // _LEGEND_INCHES))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
    return figure


def _draw_panel(axis, rows: Sequence[Row], size: int, point, theme: figures.Theme):
    """Draws a series for each method; their handles by name."""
    handles = {}
    at_size = [row for row in rows if row["image_size"] == size]
    for method in [name for name in METHOD_NAMES if any(r["method"] == name for r in at_size)]:
        groups = _groups(row for row in at_size if row["method"] == method).values()
        points = sorted((point(group) for group in groups), key=lambda p: p[0])
        handles[METHOD_NAMES[method]] = _draw_series(axis, method, points, theme)
    return handles


def _draw_series(axis, method: str, points, theme: figures.Theme):
    kind, _, variant = method.partition("_")
    color = charts.kind_color(None if kind == "plain" else kind, theme)
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
    mean = _mean(row["flops_mean"] for row in group) / scale
    return mean, _mean(row["flops_std"] for row in group) / scale, *_accuracy(group)


def _point_in_time(group: Sequence[Row]) -> tuple[float, float, float, float]:
    return _mean(_milliseconds(row) for row in group), 0.0, *_accuracy(group)


def _accuracy(group: Sequence[Row]) -> tuple[float, float]:
    """Mean and standard deviation over seeds."""
    accuracies = [row["accuracy"] for row in group]
    return _mean(accuracies), float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0


def _report(directory: pathlib.Path, rows: Sequence[Row], settings: str) -> str:
    seeds = len({row["seed"] for row in rows})
    examples = rows[0]["num_examples"]
    caption = (
        "FLOPs (multiply-add = 2, convolutions only, halting branches included) against accuracy. "
        "Horizontal bars: one standard deviation over images"
        + ("; vertical bars: one over seeds." if seeds > 1 else ".")
    )
    timed = [row for row in rows if times_of(row)]
    if timed:
        caption += (
            " Below: milliseconds per image in batches, each network in its fastest execution, on "
            f"{times.processor(timed[0])}."
        )
    picture = drawn(directory / "tradeoff.png", lambda theme: tradeoff_figure(rows, theme), caption)
    sections = {
        "FLOPs against accuracy": [picture],
        "Results and units per block": [
            html.table(*units_table(rows)),
            html.paragraph(
                "Units are means over images and positions. FLOPs are a share of the plain "
                "network's at the same image size. τ is the ponder weight; a baseline is the plain "
                "network with the rounded number of units of the ACT or SACT network of that τ. "
                + ("" if not timed else _ABOUT_TIMES)
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


def _full(row: Row, rows: Sequence[Row]) -> Row | None:
    """The experiment's plain network of the same seed, at the same image size."""
    for other in rows:
        is_full = other["method"] == "plain" and other["value"] is None
        if is_full and all(other[key] == row[key] for key in ("seed", "image_size")):
            return other
    return None


def _share_of_full(row: Row, rows: Sequence[Row]) -> float:
    """FLOPs over those of the experiment's plain network (a baseline's own share is always 1)."""
    full = _full(row, rows)
    return row["flops_mean"] / full["flops_mean"] if full else row["flops_ratio"]


def _time_of_full(row: Row, rows: Sequence[Row]) -> float:
    """The same of the time."""
    kind, _, variant = row["method"].partition("_")
    return times.time_share(row, _full(row, rows), kind != "plain" and variant != "matched")


def _milliseconds(row: Row) -> float:
    return times_of(row)[-1]["milliseconds_per_image"]


def _times(group: Sequence[Row], rows: Sequence[Row]) -> tuple[str, str]:
    timed = [row for row in group if times_of(row)]
    if not timed:
        return "", ""
    share = _mean(_time_of_full(row, rows) for row in timed)
    return f"{_mean(_milliseconds(row) for row in timed):.3g}", f"{share:.2f}"


def _label(row: Row) -> str:
    name, value = METHOD_NAMES[row["method"]], row["value"]
    if value is None:
        return name
    if row["method"] == "plain":
        return f"{name}-{value:g}" if value >= 50 else f"{name}, {value:g} units per block"
    symbol = {"budget": "budget", "calibrated": "share"}.get(row["method"].partition("_")[2], "τ =")
    return f"{name}, {symbol} {value:g}"


def _spread(values: Sequence[float], digits: int) -> str:
    text = f"{_mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text


def _mean(values) -> float:
    return float(np.mean(list(values)))
