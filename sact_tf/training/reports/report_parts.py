"""What the reports of all runs have in common."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sact_tf.files import atomic_path, atomic_write_text
from sact_tf.training.config.loading import dump_config
from sact_tf.training.config.training_config import TrainingConfig
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.visualization import charts, curves, figures, html

HALTING_NAMES = {None: "without halting", "act": "with ACT", "sact": "with SACT"}

# Curves of so few points have markers.
_FEW_POINTS = 30

Record = dict[str, Any]


@dataclasses.dataclass
class Drawing:
    """A picture of a report.

    Attributes:
        name: of its file, without the ending.
        picture: as drawn.
        caption: plain text.
        below: HTML that follows.
    """

    name: str
    picture: figures.Picture
    caption: str
    below: Sequence[str] = ()


def write_page(
    directory: RunDirectory,
    config: TrainingConfig,
    metrics: dict[str, Any],
    *,
    title: str,
    results: Sequence[str],
    drawings: dict[str, Drawing],
) -> None:
    """Writes `report.html` and the pictures beside it.

    Args:
        directory: of the run.
        config: resolved.
        metrics: as in `metrics.json`.
        title: plain text.
        results: HTML of the first section.
        drawings: by heading, a section each.
    """
    sections = {"Results": list(results)}
    for heading, drawing in drawings.items():
        with atomic_path(directory.pictures / f"{drawing.name}.png") as temporary:
            temporary.write_bytes(drawing.picture.standalone)
        sections[heading] = [html.picture(drawing.picture, drawing.caption), *drawing.below]
    sections["Settings"] = [
        html.folded_text("config.yaml", dump_config(config)),
        html.table(("package", "version"), sorted(metrics["versions"].items())),
    ]
    atomic_write_text(directory.report, html.page(title, _lead(config, metrics), sections))


def unit_usage_picture(metrics: dict[str, Any]) -> figures.Picture:
    """The share of positions at which each unit was computed."""
    usage, units = metrics["unit_usage"], metrics["num_units"]
    return figures.render(lambda theme: charts.unit_usage_figure(usage, units, theme=theme))


def curves_picture(panels: Sequence[curves.Panel]) -> figures.Picture:
    """The training curves."""
    return figures.render(lambda theme: curves.curves_figure(panels, theme=theme))


def records_of(history: Sequence[Record], kind: str) -> list[Record]:
    """The records of `history.jsonl` of one kind: `train` or `validation`."""
    return [record for record in history if record["kind"] == kind]


def line(records: Sequence[Record], key: str, label: str) -> curves.Series:
    """One number over the steps, from the records that have it."""
    having = [record for record in records if key in record]
    return curves.Series(
        label,
        [record["step"] for record in having],
        [record[key] for record in having],
        marker=len(having) <= _FEW_POINTS,
    )


def _lead(config: TrainingConfig, metrics: dict[str, Any]) -> str:
    """The sentence under the title: what was trained, and on what the figures are."""
    weight = "" if config.model.halting is None else f", τ = {config.model.ponder_weight:g}"
    return (
        f"{metrics['steps']:,} training steps of {config.train.batch_size} images in "
        f"{metrics['train_seconds']:,.0f} s{weight}, seed {config.train.seed}; "
        f"{metrics['parameters']:,} trainable parameters. All figures below are of "
        f"{metrics['num_examples']:,} held-out images."
    )
