"""What the reports of all runs have in common."""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.figure import Figure

from sact_tf.files import atomic_path, atomic_write_text
from sact_tf.training.config.loading import dump_config
from sact_tf.training.config.training_config import TrainingConfig
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.visualization import charts, curves, figures, html

_logger = logging.getLogger(__name__)

HALTING_NAMES = {None: "without halting", "act": "with ACT", "sact": "with SACT"}

# Curves of so few points have markers.
_FEW_POINTS = 30

Record = dict[str, Any]


@dataclasses.dataclass
class Drawing:
    """A picture of a report.

    Attributes:
        name: of its file, without the ending.
        draw: makes the figure, in the colours of a theme.
        caption: plain text.
        below: HTML that follows.
    """

    name: str
    draw: Callable[[figures.Theme], Figure]
    caption: str
    below: Sequence[str] = ()


def write_page(
    directory: RunDirectory,
    config: TrainingConfig,
    metrics: dict[str, Any],
    *,
    title: str,
    glance: Sequence[str | Drawing],
    results: Sequence[str],
    drawings: dict[str, Drawing],
) -> None:
    """Writes `report.html` and the pictures beside it.

    Args:
        directory: of the run.
        config: resolved.
        metrics: as in `metrics.json`.
        title: plain text.
        glance: the first section, what a reader asks first; HTML and drawings.
        results: HTML of the second section.
        drawings: by heading, a section each.
    """

    def shown(drawing: Drawing) -> str:
        file = directory.pictures / f"{drawing.name}.png"
        return drawn(file, drawing.draw, drawing.caption)

    first = [part if isinstance(part, str) else shown(part) for part in glance]
    sections = {"At a glance": first, "Results": list(results)}
    for heading, drawing in drawings.items():
        sections[heading] = [shown(drawing), *drawing.below]
    sections["Settings"] = [
        html.folded_text("config.yaml", dump_config(config)),
        html.table(("package", "version"), sorted(metrics["versions"].items())),
    ]
    atomic_write_text(directory.report, html.page(title, _lead(config, metrics), sections))


def drawn(file: pathlib.Path, draw: Callable[[figures.Theme], Figure], caption: str) -> str:
    """Writes a picture, and returns the HTML that shows it.

    A picture that cannot be drawn is missing, with a word in its place: better a report without a
    picture than results without a report.

    Args:
        file: PNG file to write.
        draw: makes the figure, in the colours of a theme.
        caption: plain text.
    """
    try:
        picture = figures.render(draw)
    # Whatever a drawing library meets (a font, a number that is none) must not cost the report.
    except Exception as error:
        # One of an evaluation before would look like this one's.
        file.unlink(missing_ok=True)
        reason = f"{type(error).__name__}: {error}"
        _logger.warning("the report lacks a picture: %s cannot be drawn: %s", file.name, reason)
        return html.paragraph(f"{file.name} could not be drawn: {reason}")
    with atomic_path(file) as temporary:
        temporary.write_bytes(picture.standalone)
    return html.picture(picture, caption)


def unit_usage(metrics: dict[str, Any], theme: figures.Theme) -> Figure:
    """Draws the share of positions at which each unit was computed."""
    return charts.unit_usage_figure(metrics["unit_usage"], metrics["num_units"], theme=theme)


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
    weight, budget = "", config.train.flops_budget
    if budget is not None:
        weight = f", a FLOPs budget of {budget:.0%} (τ = {metrics['ponder_weight']:.3g} at the end)"
    elif config.model.halting is not None:
        weight = f", τ = {config.model.ponder_weight:g}"
    return (
        f"{metrics['steps']:,} training steps of {config.train.batch_size} images in "
        f"{metrics['train_seconds']:,.0f} s{weight}, seed {config.train.seed}; "
        f"{metrics['parameters']:,} trainable parameters. All figures below are of "
        f"{metrics['num_examples']:,} held-out images."
    )
