"""A training run from its start to its end, and the ways in which it can end early."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from sact_tf.command_line import next_steps
from sact_tf.data.identity import DataIdentity
from sact_tf.errors import user_error_in
from sact_tf.training.errors import Preempted, TrainingDiverged, WorkerLost
from sact_tf.training.loop.inference_time import at_once, beside_plain, times_of
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.loop.strategies import num_workers, wait_for_all
from sact_tf.training.loop.task import Task
from sact_tf.training.run_directory.directory import RunDirectory, read_metrics

_OF_A_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def train_and_evaluate(
    task: Task,
    directory: RunDirectory,
    mode: str = "train_and_eval",
    next_commands: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Trains, from the last checkpoint if there is one, and evaluates.

    Args:
        task: what is trained.
        directory: of the run.
        mode: `train`, `eval` or `train_and_eval`.
        next_commands: what people may want to run next, named after a summary of how good the
            model is; None leaves out both.

    Returns:
        The content of `metrics.json`; empty without an evaluation.

    Raises:
        TrainingDiverged, Preempted, WorkerLost: the message says what is saved.
        UserError: the settings or the data are unusable, or the disk is full.
    """
    # Names and traced functions of the networks trained before.
    keras.backend.clear_session()
    run = TrainingRun(task, directory, trains=mode != "eval")
    with _ends_explained(run, mode), run.preemption.handled():
        if mode != "eval":
            run.train(evaluates=mode == "train_and_eval")
        metrics = run.evaluate() if mode != "train" else {}
        # Whoever leaves early would look like a worker that is lost.
        wait_for_all(run.strategy)
    if metrics and next_commands is not None:
        for line in (*task.summary(metrics), *_spent(metrics)):
            run.progress.say(line)
        run.progress.say(f"metrics: {directory.metrics}\nreport:  {directory.report}")
        if next_commands:
            run.progress.say(next_steps(next_commands))
    return metrics


def train_once(
    task: Task, directory: RunDirectory, identity: Callable[[], DataIdentity]
) -> dict[str, Any]:
    """As `train_and_evaluate`, unless that was done before with the very config and data.

    Args:
        task: what is trained.
        directory: of the run.
        identity: gives the task's data as it is now.

    Returns:
        The content of `metrics.json`.
    """
    metrics = directory.finished_metrics(task.config, identity)
    if metrics is not None:
        print("  trained before", flush=True)
        return metrics
    return train_and_evaluate(task, directory)


def _spent(metrics: dict[str, Any]) -> Iterator[str]:
    units = ", ".join(f"{name} {value:.2f}" for name, value in metrics["num_units"].items())
    yield f"units per block          {units}"
    if "ponder_localization_auc" in metrics:
        yield f"ponder localization AUC  {metrics['ponder_localization_auc']:.4f}"
    for times in times_of(metrics):
        per_image = f"{times['milliseconds_per_image']:.3g} ms"
        yield f"time per image           {per_image} ({beside_plain(times)}{at_once(times)})"
    yield f"trained                  {metrics['steps']} steps, {metrics['train_seconds']:.0f} s"


def _older_results(run: TrainingRun) -> str:
    step = read_metrics(run.directory.metrics).get("steps", run.step)
    return "" if step == run.step else f". metrics.json and report.html are still of step {step}"


@contextlib.contextmanager
def _ends_explained(run: TrainingRun, mode: str) -> Iterator[None]:
    try:
        yield
    except TrainingDiverged as error:
        latest = run.checkpoints.latest
        good = f"the last good checkpoint is {latest}" if latest else "there is no checkpoint"
        raise TrainingDiverged(f"training stopped: {error}; {good}") from None
    except Preempted as error:
        saved = run.stop() if mode != "eval" else None
        raise type(error)(
            f"{error.cause} after step {run.step}, saved as {saved}; the same command goes on from "
            f"there{_older_results(run)}"
            if saved
            else f"{error.cause}; there was nothing to save"
        ) from None
    except tf.errors.OpError as error:
        # A damaged image is met by the step that consumes it.
        if user_error := user_error_in(error):
            raise user_error from None
        if num_workers(run.strategy) > 1 and isinstance(error, _OF_A_LOST_WORKER):
            latest = run.checkpoints.latest
            raise WorkerLost(
                f"another worker of the run is gone ({type(error).__name__}); start all of them "
                f"again, to go on from {latest or 'the beginning'}"
            ) from None
        raise
