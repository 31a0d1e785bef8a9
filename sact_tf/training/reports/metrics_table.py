"""The metrics of several runs as one table."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from sact_tf.errors import UserError
from sact_tf.training.reports.tables import render

# What most people want to see, in this order; the other numbers follow by name.
_FIRST = (
    "image_size",
    "accuracy",
    "mAP",
    "AP50",
    "recall@5",
    "flops_ratio",
    "flops_mean",
    "flops_std",
    "num_units",
    "ponder_localization_auc",
    "ponder_weight",
    "seed",
    "num_examples",
    "steps",
    "train_seconds",
)
_BORING = ("plain_flops", "parameters", "ponder_localization_images")

Row = dict[str, Any]


def summarize(
    runs: Sequence[str], form: str = "text", columns: Sequence[str] | None = None
) -> None:
    """Prints the metrics of several runs as one table.

    Args:
        runs: see `read_rows`.
        form: see `render`.
        columns: see `table`.

    Raises:
        UserError: there is no run, one cannot be read, or none has such a column.
    """
    if not runs:
        raise UserError("expected run directories: python -m train.summarize RUN_DIR...")
    print(render(table([row for run in runs for row in read_rows(run)], columns), form))


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
        yield f"{path}: {name}" if name else path, evaluation


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
        columns: names to show; by default every number that some run has.

    Raises:
        UserError: no run has such a column.
    """
    texts = [(name, cells(row), row) for name, row in rows]
    if columns is None:
        present = list(dict.fromkeys(key for _, found, _ in texts for key in found))
        columns = [key for key in _FIRST if key in present]
        columns += [key for key in present if key not in columns and key not in _BORING]
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
