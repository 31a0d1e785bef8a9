"""What a table of detectors writes: table and report."""

import pathlib
from collections.abc import Sequence
from typing import Any

from sact_tf.files import atomic_write_json, atomic_write_text
from sact_tf.training.experiments.detection_table.config import (
    DetectionTableConfig,
    PlannedDetector,
)
from sact_tf.training.loop.inference_time import times_of
from sact_tf.training.reports import times
from sact_tf.training.reports.tables import render
from sact_tf.visualization import html

Row = tuple[PlannedDetector, dict[str, Any]]

_HEADER = (
    "extractor",
    "FLOPs (%)",
    "mAP (%)",
    "AP50 (%)",
    "FLOPs per image",
    "object AUC",
    "ms per image",
    "time (%)",
)
_TIMES = ("milliseconds_per_image", "time_share")
_NUMBERS = ("mAP", "AP50", "AP75", "extractor_flops_mean", "extractor_flops_std", "steps")


def write_results(
    directory: pathlib.Path, rows: Sequence[Row], config: DetectionTableConfig, settings: str
) -> None:
    """Writes `table.md`, `table.csv`, `report.html` and `metrics.json`.

    Args:
        directory: where.
        rows: each detector with its metrics, the deep plain one first.
        config: of the table.
        settings: the config as YAML.
    """
    deep = rows[0][1]["extractor_flops_mean"]
    body = [_texts(config, row, rows[0][1]) for row in rows]
    atomic_write_text(directory / "table.md", render([_HEADER, *body], "markdown") + "\n")
    about = ("run", "halting", "ponder_weight", "flops_share")
    lines: list[list[Any]] = [[*about, *_NUMBERS, *_TIMES]]
    for planned, metrics in rows:
        share = metrics["extractor_flops_mean"] / deep
        numbers = [metrics.get(key) for key in _NUMBERS]
        numbers += _times(planned, metrics, rows[0][1])
        lines.append([planned.name, planned.halting, planned.ponder_weight, share, *numbers])
    atomic_write_text(directory / "table.csv", render(lines, "csv") + "\n")
    evaluations = [{"name": planned.name, **metrics} for planned, metrics in rows]
    atomic_write_json(directory / "metrics.json", {"evaluations": evaluations})
    sections = {
        "Results": [
            html.table(_HEADER, body),
            html.paragraph(
                "FLOPs of the feature extractor (multiply-add = 2, convolutions only, halting "
                "branches included), mean ± standard deviation over images, as a share of the deep "
                "plain extractor's. Object AUC: how well the ponder map tells the pixels of "
                "objects from the others."
            ),
            *_about_times(rows[0][1]),
        ],
        "Settings": [html.folded_text("config.yaml", settings)],
    }
    lead = f"{len(rows)} detectors, {rows[0][1]['num_examples']:,} held-out images."
    page = html.page("Detectors: FLOPs and precision", lead, sections)
    atomic_write_text(directory / "report.html", page)


def _times(
    planned: PlannedDetector, metrics: dict[str, Any], deep: dict[str, Any]
) -> tuple[float | None, float | None]:
    """`_TIMES` of a detector."""
    for found in times_of(metrics)[-1:]:
        share = times.time_share(metrics, deep, planned.halting is not None)
        return found["milliseconds_per_image"], share
    return None, None


def _about_times(metrics: dict[str, Any]) -> list[str]:
    if not times_of(metrics):
        return []
    return [
        html.paragraph(
            "Time of the whole detector in its fastest execution, a share of the deep plain "
            f"detector's, on {times.processor(metrics)}. Adaptive detectors took turns with the "
            "plain one; a shallow one was timed in another hour, which is less exact."
        )
    ]


def _texts(config: DetectionTableConfig, row: Row, deep_metrics: dict[str, Any]) -> list[str]:
    planned, metrics = row
    deep = deep_metrics["extractor_flops_mean"]
    milliseconds, time = _times(planned, metrics, deep_metrics)
    if planned.halting is None:
        units = config.shallow_units if planned.shallow else config.base.model.units
        name = f"plain, units {'-'.join(map(str, units))}" if units else "plain"
    else:
        name = f"{planned.halting.upper()} τ = {planned.ponder_weight:g}"
    mean, spread = metrics["extractor_flops_mean"], metrics["extractor_flops_std"]
    share = f"{mean / deep:.1%}"
    if planned.halting is not None:
        share += f" ± {spread / deep:.1%}"
    return [
        name,
        share.replace("%", ""),
        *(f"{100 * metrics[key]:.2f}" if key in metrics else "" for key in ("mAP", "AP50")),
        f"{mean:.4g}",
        f"{metrics['ponder_localization_auc']:.3f}" if "ponder_localization_auc" in metrics else "",
        "" if milliseconds is None else f"{milliseconds:.3g}",
        "" if time is None else f"{100 * time:.0f}",
    ]
