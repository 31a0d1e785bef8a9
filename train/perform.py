"""A training run from its start to its end, and the ways in which it can end early."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sact_tf.data.errors import unwrap
from train import exit_codes, program
from train.preemption import Preempted
from train.strategies import num_workers, wait_for_all
from train.trainer import TrainingDiverged
from train.training_run import TrainingRun


def perform(run: TrainingRun, mode: str) -> dict[str, Any] | None:
    """Trains and evaluates.

    Args:
        run: just made.
        mode: `train`, `eval` or `train_and_eval`.

    Returns:
        The content of `metrics.json` where there is an evaluation.

    Raises:
        Failure: training diverged, SIGTERM came, or another worker of the cluster is gone.
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
        raise program.Failure(f"training stopped: {error}; {good}", exit_codes.DIVERGED) from None
    except Preempted:
        saved = run.stop() if mode != "eval" else None
        raise program.Failure(
            f"SIGTERM after step {run.step}, saved as {saved}; the same command goes on from there"
            if saved
            else "SIGTERM; there was nothing to save",
            exit_codes.PREEMPTED,
            label="stopped",
        ) from None
    except tf.errors.OpError as error:
        # A damaged image is met by the step that consumes it.
        if user_error := unwrap(error):
            raise user_error from None
        if num_workers(run.strategy) > 1 and isinstance(error, _OF_A_LOST_WORKER):
            latest = run.checkpoints.latest
            raise program.Failure(
                f"another worker of the run is gone ({type(error).__name__}); start all of them "
                f"again, to go on from {latest or 'the beginning'}",
                exit_codes.WORKER_LOST,
            ) from None
        raise


_OF_A_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
