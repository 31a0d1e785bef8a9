"""`report.html` and the pictures of a classification run."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sact_tf.models import ImageClassifier
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.evaluator import ClassificationEvaluator, SampleImage
from sact_tf.training.config.loading import given
from sact_tf.training.reports import report_parts, times
from sact_tf.training.reports.report_parts import Drawing, Record, line
from sact_tf.training.reports.standard_error import standard_error
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.history import read_history
from sact_tf.training.run_directory.plain_run import beside_plain_run
from sact_tf.visualization import charts, curves, figures, gallery, html, ponder_maps

_PER_ROW = 6
_GALLERY_TITLES = {
    "low": "Low ponder cost",
    "middle": "Middle ponder cost",
    "high": "High ponder cost",
}


def write_report(
    directory: RunDirectory,
    config: ClassificationConfig,
    metrics: dict[str, Any],
    evaluator: ClassificationEvaluator,
) -> None:
    """Writes `report.html` and the pictures it shows.

    Args:
        directory: of the run; its history gives the curves.
        config: resolved.
        metrics: as in `metrics.json`.
        evaluator: what has evaluated.
    """
    history = read_history(directory.history)
    drawings = {}
    glance: list[str | Drawing] = [_first_numbers(metrics)]
    if config.model.halting == "sact":
        glance.append(_glance(evaluator, metrics["plain_flops"]))
        drawings["Where the computation went"] = _gallery(evaluator, metrics["plain_flops"])
    if config.model.halting is not None:
        drawings |= _spent(metrics, evaluator.flops)
    drawings["Training"] = Drawing(
        "curves",
        lambda theme: curves.curves_figure(_panels(history, metrics), theme=theme),
        "Training curves. Lines of training are means over the steps of one log interval, with "
        "batch normalization in training mode; points are evaluations on all held-out images.",
    )
    report_parts.write_page(
        directory,
        config,
        metrics,
        title=_title(config),
        glance=glance,
        results=[_other_numbers(metrics), times.time_table(metrics), _losses(history)],
        drawings=drawings,
    )


def _title(config: ClassificationConfig) -> str:
    model, data = config.model, config.data
    if model.network == "cifar":
        units = model.units_per_block
        shown = "-".join(map(str, units)) if isinstance(units, list) else f"3 × {units}"
        network = f"CIFAR-style ResNet of {shown} units"
    elif model.depth:
        network = f"ResNet-{model.depth}" + (" V2 of Keras" if model.network == "keras" else "")
    else:
        network = f"ResNet of {'-'.join(map(str, given(model.units)))} units"
    source = {"tfds": data.tfds and data.tfds.name, "cluttered_digits": "cluttered digits"}
    halting = report_parts.HALTING_NAMES[model.halting]
    return f"{network} {halting} on {source.get(data.source, 'an image folder')}"


def _first_numbers(metrics: dict[str, Any]) -> str:
    """Accuracy, time and FLOPs: what a reader asks first."""
    beside = beside_plain_run(metrics, "accuracy")
    error = standard_error(metrics["accuracy"], metrics["num_examples"])
    cells = [("Accuracy", f"{metrics['accuracy']:.2%} ± {error:.2%}", f"top-1{beside}")]
    cells += times.key_numbers(metrics)
    if metrics["halting"] is None:
        return html.numbers(cells)
    scale, unit = charts.flops_unit(metrics["plain_flops"])
    budget = metrics["flops_budget"]
    share = (
        "FLOPs of the plain network",
        f"{metrics['flops_ratio']:.1%}" + ("" if budget is None else f" (budget {budget:.0%})"),
        f"same network without halting: {metrics['plain_flops'] / scale:.2f} {unit}",
    )
    return html.numbers([*cells, share])


def _other_numbers(metrics: dict[str, Any]) -> str:
    scale, unit = charts.flops_unit(metrics["plain_flops"])
    cells = [
        (
            "FLOPs per image",
            f"{metrics['flops_mean'] / scale:.2f} ± {metrics['flops_std'] / scale:.2f} {unit}",
            "mean ± standard deviation over images",
        ),
        ("Cross entropy", f"{metrics['cross_entropy']:.3f}", "nats per image"),
    ]
    if "recall@5" in metrics:
        cells.append(("Recall@5", f"{metrics['recall@5']:.2%}", "label among the five best"))
    if "ponder_localization_auc" in metrics:
        count = metrics["ponder_localization_images"]
        cells.append(
            (
                "Ponder map finds object",
                f"AUC {metrics['ponder_localization_auc']:.3f}",
                f"pixels in the box against pixels outside, {count:,} images; 0.5 is chance",
            )
        )
    return html.numbers(cells)


def _losses(history: Sequence[Record]) -> str:
    records = report_parts.records_of(history, "train")
    if not records:
        return ""
    last = records[-1]
    rows = [
        ("cross entropy", f"{last['cross_entropy']:.4f}"),
        ("ponder loss (τ × ponder cost)", f"{last['ponder_loss']:.4f}"),
        ("weight decay", f"{last['weight_decay']:.4f}"),
        ("sum", f"{last['loss']:.4f}"),
    ]
    return html.table(("training loss at the end", f"step {last['step']:,}"), rows)


def _glance(evaluator: ClassificationEvaluator, plain_flops: int) -> Drawing:
    return Drawing(
        "glance",
        lambda theme: _gallery_figure(evaluator, plain_flops, theme, one_row=True),
        "The held-out images of the lowest, the middle and the highest ponder cost; below each "
        "its ponder map, the predicted class and the FLOPs as a share of the plain network's.",
    )


def _gallery(evaluator: ClassificationEvaluator, plain_flops: int) -> Drawing:
    samples = evaluator.samples
    boxed = any(sample.box is not None for sample in samples)
    return Drawing(
        "gallery",
        lambda theme: _gallery_figure(evaluator, plain_flops, theme),
        f"Of {len(samples)} held-out images, those of the lowest, the middle and the highest "
        "mean ponder cost; below each image its total ponder cost map: ponder cost (units "
        "computed + remainder) summed over the blocks, per position of the image, all maps on "
        "one colour scale. Under each pair: predicted class (true class where it is another), "
        "and the FLOPs spent as a share of the plain network's."
        + (" The red box is the object's; the network never saw it." if boxed else ""),
    )


def _gallery_figure(
    evaluator: ClassificationEvaluator,
    plain_flops: int,
    theme: figures.Theme,
    one_row: bool = False,
) -> Figure:
    samples = evaluator.samples
    limits = ponder_maps.shared_limits(sample.ponder_map for sample in samples)
    shown = [
        gallery.Sample(
            image=sample.image,
            ponder_map=sample.ponder_map,
            box=None if sample.box is None else sample.box.tolist(),
            caption=_caption(sample, plain_flops, evaluator.model),
        )
        for sample in samples
    ]
    costs = [sample.cost for sample in samples]
    groups = gallery.split_by_cost(costs, 1 if one_row else _PER_ROW)
    if one_row:
        rows = {"": [shown[index] for indices in groups.values() for index in indices]}
    else:
        rows = {
            f"{_GALLERY_TITLES[group]} ({costs[indices[0]]:.2f} to {costs[indices[-1]]:.2f})": [
                shown[index] for index in indices
            ]
            for group, indices in groups.items()
        }
    return gallery.gallery_figure(rows, limits, theme=theme)


def _spent(metrics: dict[str, Any], flops: np.ndarray) -> dict[str, Drawing]:
    plain = metrics["plain_flops"]
    return {
        "Units per block": Drawing(
            "unit_usage",
            functools.partial(report_parts.unit_usage, metrics),
            "Share of positions (of all held-out images) at which each residual unit was computed; "
            "in the titles the mean number of units. The entry of a block, its first "
            "unit or two, is computed everywhere.",
            below=[_block_table(metrics)],
        ),
        "FLOPs per image": Drawing(
            "flops",
            lambda theme: charts.flops_figure(flops.tolist(), plain, theme),
            "FLOPs (multiply-add = 2, convolutions only, halting branches included) of each "
            "held-out image; dashed: the same network without halting.",
        ),
    }


def _caption(sample: SampleImage, plain_flops: int, model: ImageClassifier) -> str:
    def name(label: int) -> str:
        text = figures.legible(model.class_name(label))
        return text if len(text) <= 16 else text[:15] + "…"

    caption = f"{name(sample.prediction)}, {sample.flops / plain_flops:.0%}"
    # In a line of its own: two long names side by side leave no room for the images.
    return caption if sample.prediction == sample.label else f"{caption}\n(is {name(sample.label)})"


def _block_table(metrics: dict[str, Any]) -> str:
    rows = [
        (
            block,
            f"{units:.3f}",
            str(len(metrics["unit_usage"][block])),
            f"{metrics['ponder_cost'][block]:.3f}",
        )
        for block, units in metrics["num_units"].items()
    ]
    return html.table(("block", "mean units", "units there", "mean ponder cost"), rows)


def _panels(history: Sequence[Record], metrics: dict[str, Any]) -> list[curves.Panel]:
    train = report_parts.records_of(history, "train")
    held_out = report_parts.records_of(history, "validation")

    def both(key: str) -> list[curves.Series]:
        return [line(train, key, "training"), line(held_out, key, "held out")]

    rest = [line(train, "weight_decay", "weight decay")]
    if metrics["halting"] is not None:
        rest.insert(0, line(train, "ponder_loss", "ponder loss (τ × cost)"))
    panels = [
        curves.Panel("Cross entropy", "nats", both("cross_entropy")),
        curves.Panel("Accuracy", "share of images", both("accuracy")),
        curves.Panel("Other parts of the loss", "loss", rest, limits=(0, None)),
    ]
    if metrics["halting"] is not None:
        costs = [line(train, f"ponder_cost/{block}", block) for block in metrics["ponder_cost"]]
        panels.append(curves.Panel("Ponder cost", "mean over positions", costs))
        panels.append(_flops_panel(train, held_out, metrics))
        if any("ponder_weight" in record for record in train):
            tau = line(train, "ponder_weight", "τ")
            panels.append(curves.Panel("Adapted ponder weight", "τ", [tau]))
    rate = line(train, "learning_rate", "learning rate")
    return [*panels, curves.Panel("Learning rate", "", [rate])]


def _flops_panel(
    train: Sequence[Record], held_out: Sequence[Record], metrics: dict[str, Any]
) -> curves.Panel:
    budget = metrics.get("flops_budget")
    evaluations = curves.Series(
        "held out ± std over images",
        [record["step"] for record in held_out],
        [record["flops_ratio"] for record in held_out],
        spread=[record["flops_std"] / metrics["plain_flops"] for record in held_out],
        marker=True,
    )
    return curves.Panel(
        "FLOPs",
        "share of plain network",
        [line(train, "flops_ratio", "training"), evaluations],
        reference=("without halting", 1.0) if budget is None else ("budget", budget),
    )
