"""The metrics of several runs as one table."""

import json
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from sact_tf import paths
from sact_tf.errors import UserError
from sact_tf.files import atomic_path
from sact_tf.training.reports.tables import render
from sact_tf.training.reports.timed_networks import timed_networks
from sact_tf.visualization import figures
from sact_tf.visualization.charts import time_figure

# What most people want to see, in this order.
_FIRST = (
    "image_size",
    "accuracy",
    "mAP",
    "AP50",
    "recall@5",
    "flops_ratio",
    "flops_mean",
    "num_units",
    "ponder_localization_auc",
    "timing.batch.milliseconds_per_image",
    "timing.batch.time_ratio",
    "seed",
    "steps",
)
_ALL_COLUMNS = ["all"]

Row = dict[str, Any]


def summarize(
    runs: Sequence[str],
    form: str = "text",
    columns: Sequence[str] | None = None,
    figure: str | os.PathLike | None = None,
) -> None:
    """Prints the metrics of several runs as one table.

    Args:
        runs: see `read_rows`.
        form: see `render`.
        columns: see `table`.
        figure: PNG file for accuracy or mAP over the time per image.

    Raises:
        UserError: there is no run, one cannot be read, none has such a column, or none has times
            to draw.
    """
    if not runs:
        raise UserError("expected run directories: python -m train.summarize RUN_DIR...")
    file = None if figure is None else paths.output_file("figure", figure)
    rows = [row for run in runs for row in read_rows(run)]
    print(render(table(rows, columns), form))
    if file is not None:
        networks, score, images = timed_networks(rows)
        picture = figures.render(lambda theme: time_figure(networks, score, images, theme))
        with paths.writing("figure", file), atomic_path(file) as temporary:
            temporary.write_bytes(picture.standalone)
        # Not on stdout, which may go into a file as a table.
        drawn = f"{len(networks)} of {len(rows)} networks, those with times"
        print(f"figure: {file}, {drawn}", file=sys.stderr)


def read_rows(path: str) -> Iterator[tuple[str, Row]]:
    """Yields (name, metrics) of a run.

    Raises:
        UserError: there is no readable `metrics.json`; names it.
    """
    given = pathlib.Path(path).expanduser()
    file = given / "metrics.json" if given.is_dir() else given
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; has the run finished?") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not a readable metrics.json: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected a JSON object, received {type(content).__name__}")
    several = content.get("evaluations")
    if not isinstance(several, list):
        yield path, content
        return
    for evaluation in several:
        name = evaluation.get("name")
        # `train.evaluate` says once, above its sizes, what the network is.
        row = {"halting": content.get("halting"), **evaluation}
        yield f"{path}: {name}" if name else path, row


def cells(row: Row) -> dict[str, str]:
    """What a table can show of a run's metrics: numbers, and short lists of them, as texts."""
    result = {}
    for name, value in row.items():
        if isinstance(value, dict) and value and all(_is_number(v) for v in value.values()):
            result[name] = " ".join(_text(v) for v in value.values())
        elif _is_number(value):
            result[name] = _text(value)
    return result


def table(rows: Sequence[tuple[str, Row]], columns: Sequence[str] | None) -> list[list[str]]:
    """Header and rows of texts.

    Args:
        rows: (name, metrics) of each run.
        columns: names to show; by default those of most interest, or every number where a run has
            none of these, or `["all"]` asks for it.

    Raises:
        UserError: no run has such a column.
    """
    texts = [(name, cells(row), row) for name, row in rows]
    if columns is None or list(columns) == _ALL_COLUMNS:
        first = [key for key in _FIRST if any(_cell(found, row, key) for _, found, row in texts)]
        known = all(any(_cell(found, row, key) for key in first) for _, found, row in texts)
        others = dict.fromkeys(key for _, found, _ in texts for key in found if key not in first)
        columns = [*first, *(() if known and columns is None else others)]
    body = [
        [name, *(_cell(found, row, column) for column in columns)] for name, found, row in texts
    ]
    for number, column in enumerate(columns, start=1):
        if not any(line[number] for line in body):
            raise UserError(f"--columns: no run has {column!r} in its metrics.json")
    return [["run", *columns], *body]


def _cell(found: dict[str, str], row: Row, column: str) -> str:
    if column in found:
        return found[column]
    value: Any = row
    for key in column.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None or isinstance(value, dict | list) else _text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.4e}"
    return str(value)
