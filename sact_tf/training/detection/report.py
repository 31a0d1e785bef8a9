"""`report.html` and the pictures of a detection run."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sact_tf.training.config.loading import given
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.evaluator import DetectionEvaluator
from sact_tf.training.reports import report_parts, times
from sact_tf.training.reports.report_parts import Drawing, Record, line
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.history import read_history
from sact_tf.training.run_directory.plain_run import beside_plain_run
from sact_tf.visualization import charts, curves, figures, html, ponder_maps
from sact_tf.visualization.detections import DetectionSample, detections_figure

_SIZES = {
    "AP_small": "objects under 32² pixels",
    "AP_medium": "objects from 32² to 96² pixels",
    "AP_large": "objects over 96² pixels",
}
_LOSSES = {
    "rpn_score": "proposals: object or not",
    "rpn_box": "proposals: place",
    "class": "boxes: class",
    "box": "boxes: place",
    "ponder_loss": "ponder loss (τ × cost)",
    "weight_decay": "weight decay",
}


def write_report(
    directory: RunDirectory,
    config: DetectionConfig,
    metrics: dict[str, Any],
    evaluator: DetectionEvaluator,
) -> None:
    """Writes `report.html` and the pictures it shows.

    Args:
        directory: of the run; its history gives the curves.
        config: resolved.
        metrics: as in `metrics.json`.
        evaluator: what has evaluated.
    """
    drawings = {"Detections": _detections(evaluator)}
    if config.model.halting is not None:
        drawings |= _spent(metrics, evaluator.flops)
    panels = _panels(read_history(directory.history), config.model.halting is not None)
    if panels:
        drawings["Training"] = Drawing(
            "curves",
            lambda theme: curves.curves_figure(panels, theme=theme),
            "Training curves. Lines of training are means over the steps of one log interval; "
            "points are evaluations on all held-out images.",
        )
    report_parts.write_page(
        directory,
        config,
        metrics,
        title=_title(config),
        glance=[_first_numbers(metrics), _glance(evaluator)],
        results=[_other_numbers(metrics), times.time_table(metrics)],
        drawings=drawings,
    )


def _title(config: DetectionConfig) -> str:
    model, data = config.model, config.data
    network = f"ResNet-{model.depth}" if model.depth else "ResNet"
    halting = report_parts.HALTING_NAMES[model.halting]
    source = {"digit_scenes": "digit scenes", "coco": "one's own COCO-format data"}
    name = source.get(data.source) or given(data.tfds).name
    return f"Faster R-CNN on {network} {halting}: {name}"


def _first_numbers(metrics: dict[str, Any]) -> str:
    """Average precision, time and FLOPs: what a reader asks first."""
    cells = []
    if "mAP" in metrics:
        beside = beside_plain_run(metrics, "mAP")
        explained = f"mean over classes and IoU 0.50 … 0.95{beside}"
        cells.append(("mAP", f"{metrics['mAP']:.3f}", explained))
    cells += times.key_numbers(metrics)
    if metrics["halting"] is None:
        return html.numbers(cells)
    plain = metrics["plain_extractor_flops_mean"]
    scale, unit = charts.flops_unit(plain)
    share = (
        "FLOPs of the plain extractor",
        f"{metrics['flops_ratio']:.1%} ± {metrics['flops_ratio_std']:.1%}",
        f"same network without halting: {plain / scale:.2f} {unit}",
    )
    return html.numbers([*cells, share])


def _other_numbers(metrics: dict[str, Any]) -> str:
    scale, unit = charts.flops_unit(metrics["plain_extractor_flops_mean"])
    cells = []
    if "mAP" in metrics:
        both = f"{metrics['AP50']:.3f}, {metrics['AP75']:.3f}"
        cells.append(("AP50, AP75", both, "IoU of 0.50 and 0.75"))
    cells += [
        (name.replace("_", " "), f"{metrics[name]:.3f}", text)
        for name, text in _SIZES.items()
        if name in metrics
    ]
    mean, spread = metrics["extractor_flops_mean"], metrics["extractor_flops_std"]
    cells.append(
        (
            "Extractor FLOPs per image",
            f"{mean / scale:.2f} ± {spread / scale:.2f} {unit}",
            "mean ± standard deviation over images",
        )
    )
    if "resnet101_flops_ratio" in metrics:
        share, deviation = metrics["resnet101_flops_ratio"], metrics["resnet101_flops_ratio_std"]
        cells.append(("Share of plain ResNet-101", f"{share:.1%} ± {deviation:.1%}", "as table 1"))
    if "ponder_localization_auc" in metrics:
        cells.append(
            (
                "Ponder map finds objects",
                f"AUC {metrics['ponder_localization_auc']:.3f}",
                "pixels in boxes against pixels outside; 0.5 is chance",
            )
        )
    return html.numbers(cells)


def _glance(evaluator: DetectionEvaluator) -> Drawing:
    return Drawing(
        "glance",
        lambda theme: _detections_figure(evaluator, theme, count=3),
        "Three held-out images with their detections"
        + (", beside their ponder maps." if evaluator.model.halting_kind is not None else "."),
    )


def _detections(evaluator: DetectionEvaluator) -> Drawing:
    caption = "Held-out images with the detections of a score of at least 50 %"
    if evaluator.model.halting_kind is not None:
        caption += (
            ", each beside the ponder cost map of the feature extractor: ponder cost (units "
            "computed + remainder) summed over its blocks, per position, on one colour scale; "
            "above it the FLOPs as a share of the plain extractor's"
        )
    return Drawing("detections", functools.partial(_detections_figure, evaluator), f"{caption}.")


def _detections_figure(
    evaluator: DetectionEvaluator, theme: figures.Theme, count: int | None = None
) -> Figure:
    samples, model = evaluator.samples[:count], evaluator.model
    limits = ponder_maps.shared_limits(sample.ponder_map for sample in samples)
    shown = [
        DetectionSample(
            image=sample.image,
            boxes=sample.boxes,
            captions=[
                f"{model.class_name(label)} {score:.0%}"
                for label, score in zip(sample.labels, sample.scores, strict=True)
            ],
            labels=sample.labels.tolist(),
            ponder_map=sample.ponder_map,
            title=f"{sample.flops_ratio:.0%} of FLOPs",
        )
        for sample in samples
    ]
    return detections_figure(shown, limits, columns=count or 2, theme=theme)


def _spent(metrics: dict[str, Any], flops: np.ndarray) -> dict[str, Drawing]:
    plain = metrics["plain_extractor_flops_mean"]
    return {
        "Units per block": Drawing(
            "unit_usage",
            functools.partial(report_parts.unit_usage, metrics),
            "Share of positions (of all held-out images, without padding) at which each residual "
            "unit of the extractor was computed. The entry of a block, its first unit or two, is "
            "computed everywhere.",
        ),
        "FLOPs per image": Drawing(
            "flops",
            lambda theme: charts.flops_figure(flops.tolist(), plain, theme),
            "FLOPs of the feature extractor (multiply-add = 2, convolutions only, halting branches "
            "included) on each held-out image; dashed: the mean without halting.",
        ),
    }


def _panels(history: Sequence[Record], halts: bool) -> list[curves.Panel]:
    train = report_parts.records_of(history, "train")
    held_out = report_parts.records_of(history, "validation")
    panels = []
    if train:
        names = list(_LOSSES.items())
        panels += [
            curves.Panel("Loss: detection", "loss", [line(train, *name) for name in names[:4]]),
            curves.Panel("Loss: the rest", "loss", [line(train, *name) for name in names[4:]]),
        ]
    if any("mAP" in record for record in held_out):
        scores = [line(held_out, key, key) for key in ("mAP", "AP50", "AP75")]
        panels.append(curves.Panel("Average precision", "held out", scores, limits=(0, 1)))
    if train and halts:
        blocks = [key for key in train[-1] if key.startswith("ponder_cost/")]
        costs = [line(train, key, key.partition("/")[2]) for key in blocks]
        panels.append(curves.Panel("Ponder cost", "mean over positions", costs))
    if train:
        panels.append(curves.Panel("Learning rate", "", [line(train, "learning_rate", "rate")]))
    return panels
