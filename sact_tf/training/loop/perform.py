"""A training run from its start to its end, and the ways in which it can end early."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sact_tf.errors import user_error_in
from sact_tf.training.errors import Preempted, TrainingDiverged, WorkerLost
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.loop.strategies import num_workers, wait_for_all


def perform(run: TrainingRun, mode: str) -> dict[str, Any] | None:
    """Trains and evaluates.

    Args:
        run: just made.
        mode: `train`, `eval` or `train_and_eval`.

    Returns:
        The content of `metrics.json` where there is an evaluation.

    Raises:
        TrainingDiverged, Preempted, WorkerLost: the message says what is saved.
        UserError: the data is unusable, or the disk is full.
    """
    with _ends_explained(run, mode), run.preemption.handled():
        if mode != "eval":
            run.train(evaluates=mode == "train_and_eval")
        metrics = run.evaluate() if mode != "train" else None
        # Whoever leaves early would look like a worker that is lost.
        wait_for_all(run.strategy)
        return metrics


@contextlib.contextmanager
def _ends_explained(run: TrainingRun, mode: str) -> Iterator[None]:
    try:
        yield
    except TrainingDiverged as error:
        latest = run.checkpoints.latest
        good = f"the last good checkpoint is {latest}" if latest else "there is no checkpoint"
        raise TrainingDiverged(f"training stopped: {error}; {good}") from None
    except Preempted:
        saved = run.stop() if mode != "eval" else None
        raise Preempted(
            f"SIGTERM after step {run.step}, saved as {saved}; the same command goes on from there"
            if saved
            else "SIGTERM; there was nothing to save"
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


_OF_A_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
