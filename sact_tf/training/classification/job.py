"""A whole classification run as one call, for programs that train several networks."""

import os
from typing import Any

import keras

from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.run import ClassificationRun
from sact_tf.training.loop.perform import perform
from sact_tf.training.loop.progress import quiet_logging
from sact_tf.training.run_directory.directory import RunDirectory


def train_and_evaluate(
    config: ClassificationConfig, model_dir: str | os.PathLike
) -> dict[str, Any]:
    """Trains (from the last checkpoint, if there is one) and evaluates.

    Args:
        config: resolved.
        model_dir: of the run.

    Returns:
        The content of `metrics.json`.

    Raises:
        TrainingDiverged, Preempted: see `perform`.
        UserError: the settings or the data are unusable.
    """
    quiet_logging()
    # Names and traced functions of the networks trained before.
    keras.backend.clear_session()
    run = ClassificationRun(config, RunDirectory(model_dir), trains=True)
    return perform(run, "train_and_eval")
