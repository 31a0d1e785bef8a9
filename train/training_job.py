"""A whole classification run as one call, for programs that train several networks."""

import os
from typing import Any

import keras
import tensorflow as tf

from sact_tf.data.errors import unwrap
from train import configs
from train.classification_run import ClassificationRun
from train.classification_trainer import TrainingDiverged
from train.progress import quiet_logging
from train.run_directory import RunDirectory


class JobFailed(Exception):
    """Training diverged; the message names the step and the last good checkpoint."""


def train_and_evaluate(
    config: configs.ClassificationConfig, model_dir: str | os.PathLike
) -> dict[str, Any]:
    """Trains (from the last checkpoint, if there is one) and evaluates.

    Args:
        config: resolved.
        model_dir: of the run.

    Returns:
        The content of `metrics.json`.

    Raises:
        JobFailed: the loss became NaN.
        UserError: the settings or the data are unusable.
    """
    quiet_logging()
    # Names and traced functions of the networks trained before.
    keras.backend.clear_session()
    run = ClassificationRun(config, RunDirectory(model_dir), trains=True)
    try:
        run.train(evaluates=True)
        return run.evaluate()
    except TrainingDiverged as error:
        latest = run.checkpoints.latest
        good = f"the last good checkpoint is {latest}" if latest else "there is no checkpoint"
        raise JobFailed(f"training stopped: {error}; {good}") from None
    except tf.errors.OpError as error:
        # A damaged image is met by the step that consumes it.
        if user_error := unwrap(error):
            raise user_error from None
        raise
