"""All workers of a run train on the same data."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.models.class_names import shown_classes
from sact_tf.training.errors import WorkerLost
from sact_tf.training.loop.strategies import gather, num_workers, worker_index
from sact_tf.training.loop.task import TrainingData

_SPLITS = ("train", "validation")


def build_same_data(
    strategy: tf.distribute.Strategy,
    build: Callable[[], TrainingData],
    say: Callable[[str], None] = print,
) -> TrainingData:
    """Builds the data set, and compares it with that of the other workers.

    Args:
        strategy: of the run.
        build: builds the data set of this worker.
        say: takes a line for people.

    Returns:
        What `build` returns.

    Raises:
        UserError: `build` does; or the workers have other classes, or other numbers of images.
        WorkerLost: another worker has no data.
    """
    if num_workers(strategy) == 1:
        return build()
    try:
        data = build()
    except UserError:
        gather(strategy, [0] * 6)
        raise
    identity = data.identity()
    files = [
        _number(identity.files_digest(split)) if split in identity.files else 0 for split in _SPLITS
    ]
    counts = [data.num_examples(split) for split in _SPLITS]
    table = gather(strategy, [1, _number(identity.classes_digest), *counts, *files])
    without = np.flatnonzero(table[:, 0] == 0)
    if len(without):
        raise WorkerLost(f"{_workers(without)} has no data; its own message says why")
    here = f"here, on worker {worker_index(strategy)}"
    if others := _others(table[:, 1:2]):
        names = shown_classes(identity.class_names) if identity.class_names else "without names"
        raise UserError(
            f"{others} has other classes than worker 0; all need the same, or a label would mean "
            f"something else on each ({here}: {identity.num_classes} classes, {names})"
        )
    if others := _others(table[:, 2:4]):
        raise UserError(
            f"{others} has another number of images than worker 0; all need the same files ({here}:"
            f" {counts[0]} for training, {counts[1]} held out)"
        )
    if others := _others(table[:, 4:]):
        say(f"warning: {others} has other files than worker 0")
    return data


def _others(rows: np.ndarray) -> str:
    """The workers whose row is not that of the first; empty if there are none."""
    different = np.flatnonzero((rows != rows[:1]).any(axis=1))
    return _workers(different) if len(different) else ""


def _workers(numbers: np.ndarray) -> str:
    return f"worker {', '.join(map(str, numbers))}"


def _number(digest: str) -> int:
    """The beginning of a digest that an int64 holds."""
    return int(digest[:15], 16)
