"""What runs reach and the time that they take, for a figure."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sact_tf.errors import UserError
from sact_tf.training.loop.inference_time import at_once, times_of
from sact_tf.training.reports.standard_error import standard_error
from sact_tf.visualization.charts import TimedNetwork

_SCORES = ("accuracy", "mAP")


def timed_networks(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
) -> tuple[list[TimedNetwork], str, str]:
    """The arguments of `time_figure`: of each run that has times, those of the larger batch.

    Args:
        rows: (path, metrics) of each run.

    Raises:
        UserError: no run has times, they have different scores, or other numbers of images at once.
    """
    timed = [
        (name, row, score)
        for name, row in rows
        if times_of(row) and (score := next((key for key in _SCORES if key in row), None))
    ]
    if not timed:
        raise UserError("--figure: no run has times in its metrics.json (evaluation.time)")
    scores = sorted({score for _, _, score in timed})
    images = sorted({at_once(times_of(row)[-1]) for _, row, _ in timed})
    for found in (scores, images):
        if len(found) > 1:
            raise UserError(f"--figure: expected runs of one kind, received {' and '.join(found)}")
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(name)) for name, _, _ in timed])
    networks = [
        TimedNetwork(
            os.path.relpath(name, folder),
            row.get("halting"),
            times_of(row)[-1]["milliseconds_per_image"],
            row[score],
            _standard_error(row, score),
        )
        for name, row, score in timed
    ]
    return networks, scores[0], images[0]


def _standard_error(row: Mapping[str, Any], score: str) -> float:
    """Of an accuracy; 0 for a mAP, which is no share of the images, and where it is not known."""
    if score != "accuracy" or not row.get("num_examples"):
        return 0.0
    return standard_error(row[score], row["num_examples"])
