"""`report.html` and the pictures of a classification run."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sact_tf.files import atomic_write_text
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.evaluator import SampleImage
from sact_tf.training.reports import report_parts
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.visualization import charts, curves, figures, gallery, html, ponder_maps

_PER_ROW = 6
_GALLERY_TITLES = {
    "low": "Low ponder cost",
    "middle": "Middle ponder cost",
    "high": "High ponder cost",
}


def write_report(
    directory: RunDirectory,
    *,
    config: ClassificationConfig,
    metrics: dict[str, Any],
    history: Sequence[dict[str, Any]],
    samples: Sequence[SampleImage],
    flops: np.ndarray,
    class_name: Callable[[int], str],
) -> None:
    """Writes `report.html` and the pictures it shows.

    Args:
        directory: of the run.
        config: resolved.
        metrics: as in `metrics.json`.
        history: records of `history.jsonl`.
        samples: held-out images to choose from.
        flops: FLOPs of every held-out image.
        class_name: gives the name of a class.
    """
    sections: dict[str, list[str]] = {"Results": [_key_numbers(metrics), _losses(history)]}
    pictures: dict[str, tuple[figures.Picture, str]] = {}
    if config.model.halting is not None:
        pictures |= _cost_pictures(config, metrics, samples, flops, class_name)
    panels = _panels(history, metrics)
    pictures["curves"] = (
        figures.render(lambda theme: curves.curves_figure(panels, theme=theme)),
        "Training curves. Lines of training are means over the steps of one log interval, with "
        "batch normalization in training mode; points are evaluations on all held-out images.",
    )
    headings = {
        "gallery": "Where the computation went",
        "unit_usage": "Units per block",
        "flops": "FLOPs per image",
        "curves": "Training",
    }
    for name, (picture, caption) in pictures.items():
        sections[headings[name]] = [report_parts.picture(directory, name, picture, caption)]
    if config.model.halting is not None:
        sections[headings["unit_usage"]].append(_block_table(metrics))
    sections["Settings"] = report_parts.settings(config, metrics)
    page = html.page(_title(config), report_parts.lead(config, metrics), sections)
    atomic_write_text(directory.report, page)


def _title(config: ClassificationConfig) -> str:
    model, data = config.model, config.data
    if model.network == "cifar":
        units = model.units_per_block
        units = "-".join(map(str, units)) if isinstance(units, list) else f"3 × {units}"
        network = f"CIFAR-style ResNet of {units} units"
    elif model.depth:
        network = f"ResNet-{model.depth}"
    else:
        network = f"ResNet of {'-'.join(map(str, model.units))} units"
    source = {"tfds": data.tfds and data.tfds.name, "cluttered_digits": "cluttered digits"}
    halting = report_parts.HALTING_NAMES[model.halting]
    return f"{network} {halting} on {source.get(data.source, 'an image folder')}"


def _key_numbers(metrics: dict[str, Any]) -> str:
    scale, unit = charts.flops_unit(metrics["plain_flops"])
    cells = [("Accuracy", f"{metrics['accuracy']:.2%}", "top-1")]
    if "recall@5" in metrics:
        cells.append(("Recall@5", f"{metrics['recall@5']:.2%}", "label among the five best"))
    cells += [
        ("Cross entropy", f"{metrics['cross_entropy']:.3f}", "nats per image"),
        (
            "FLOPs per image",
            f"{metrics['flops_mean'] / scale:.2f} ± {metrics['flops_std'] / scale:.2f} {unit}",
            "mean ± standard deviation over images",
        ),
        (
            "Share of the plain network",
            f"{metrics['flops_ratio']:.1%}",
            f"same network without halting: {metrics['plain_flops'] / scale:.2f} {unit}",
        ),
    ]
    if "ponder_localization_auc" in metrics:
        cells.append(
            (
                "Ponder map finds object",
                f"AUC {metrics['ponder_localization_auc']:.3f}",
                "pixels in the box against pixels outside; 0.5 is chance",
            )
        )
    return html.numbers(cells)


def _losses(history: Sequence[dict[str, Any]]) -> str:
    records = [record for record in history if record["kind"] == "train"]
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


def _cost_pictures(config, metrics, samples, flops, class_name):
    pictures = {}
    if config.model.halting == "sact":
        limits = ponder_maps.shared_limits(sample.ponder_map for sample in samples)
        rows = _gallery_rows(samples, metrics["plain_flops"], class_name)
        boxed = any(sample.box is not None for sample in samples)
        pictures["gallery"] = (
            figures.render(lambda theme: gallery.gallery_figure(rows, limits, theme=theme)),
            f"Of {len(samples)} held-out images, those of the lowest, the middle and the highest "
            "mean ponder cost; below each image its total ponder cost map: ponder cost (units "
            "computed + remainder) summed over the blocks, per position of the image, all maps on "
            "one colour scale. Under each pair: predicted class (true class where it is another), "
            "and the FLOPs spent as a share of the plain network's."
            + (" The red box is the object's; the network never saw it." if boxed else ""),
        )
    usage, mean_units = metrics["unit_usage"], metrics["num_units"]
    pictures["unit_usage"] = (
        figures.render(lambda theme: charts.unit_usage_figure(usage, mean_units, theme=theme)),
        "Share of positions (of all held-out images) at which each residual unit was computed; in "
        "the titles the mean number of units. The first unit of a block is computed everywhere.",
    )
    pictures["flops"] = (
        figures.render(lambda theme: charts.flops_figure(flops, metrics["plain_flops"], theme)),
        "FLOPs (multiply-add = 2, convolutions only, halting branches included) of each held-out "
        "image; dashed: the same network without halting.",
    )
    return pictures


def _gallery_rows(samples: Sequence[SampleImage], plain_flops: int, class_name):
    rows = {}
    costs = [sample.cost for sample in samples]
    for group, indices in gallery.split_by_cost(costs, _PER_ROW).items():
        chosen = [samples[index] for index in indices]
        low, high = chosen[0].cost, chosen[-1].cost
        rows[f"{_GALLERY_TITLES[group]} ({low:.2f} to {high:.2f})"] = [
            gallery.Sample(
                image=sample.image,
                ponder_map=sample.ponder_map,
                box=sample.box,
                caption=_caption(sample, plain_flops, class_name),
            )
            for sample in chosen
        ]
    return rows


def _caption(sample: SampleImage, plain_flops: int, class_name) -> str:
    def name(label: int) -> str:
        text = class_name(label)
        return text if len(text) <= 16 else text[:15] + "…"

    predicted = name(sample.prediction)
    if sample.prediction != sample.label:
        predicted += f" (is {name(sample.label)})"
    return f"{predicted}, {sample.flops / plain_flops:.0%}"


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


def _panels(history: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> list[curves.Panel]:
    train = [record for record in history if record["kind"] == "train"]
    held_out = [record for record in history if record["kind"] == "validation"]

    def line(records, key: str, label: str) -> curves.Series:
        few = len(records) <= 30
        steps = [record["step"] for record in records]
        values = [record[key] for record in records]
        return curves.Series(label, steps, values, marker=few)

    blocks = list(metrics["ponder_cost"])
    panels = [
        curves.Panel(
            "Cross entropy",
            "nats",
            [line(train, "cross_entropy", "training"), line(held_out, "cross_entropy", "held out")],
        ),
        curves.Panel(
            "Accuracy",
            "share of images",
            [line(train, "accuracy", "training"), line(held_out, "accuracy", "held out")],
        ),
        curves.Panel(
            "Other parts of the loss",
            "loss",
            [
                line(train, "ponder_loss", "ponder loss (τ × cost)"),
                line(train, "weight_decay", "weight decay"),
            ],
            limits=(0, None),
        ),
        curves.Panel("Learning rate", "", [line(train, "learning_rate", "learning rate")]),
    ]
    if metrics["halting"] is not None:
        panels[3:3] = [
            curves.Panel(
                "Ponder cost",
                "mean over positions",
                [line(train, f"ponder_cost/{block}", block) for block in blocks],
            ),
            curves.Panel(
                "FLOPs",
                "share of plain network",
                [
                    line(train, "flops_ratio", "training"),
                    curves.Series(
                        "held out ± std over images",
                        [record["step"] for record in held_out],
                        [record["flops_ratio"] for record in held_out],
                        spread=[
                            record["flops_std"] / metrics["plain_flops"] for record in held_out
                        ],
                        marker=True,
                    ),
                ],
                reference=(
                    ("without halting", 1.0)
                    if metrics.get("flops_budget") is None
                    else ("budget", metrics["flops_budget"])
                ),
            ),
        ]
        if any("ponder_weight" in record for record in train):
            panels[5:5] = [
                curves.Panel("Adapted ponder weight", "τ", [line(train, "ponder_weight", "τ")])
            ]
    return panels
