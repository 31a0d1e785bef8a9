"""Finding and loading the model that a `--model` or `train.warm_start` means."""

import os
import pathlib

import tensorflow as tf

from sact_tf import paths
from sact_tf.models import ImageClassifier
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.loading import load_config
from sact_tf.training.run_directory.checkpoints import (
    loading_checkpoint,
    newest_checkpoint,
    restore_weights,
)
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.keras_files import load_keras_file


def load_classifier(path: str | os.PathLike) -> ImageClassifier:
    """Loads a classifier with its weights.

    Args:
        path: a `.keras` file; a run directory (its `model.keras`, else its newest checkpoint); a
            checkpoint of a run (`RUN/checkpoints/ckpt-500`); or a checkpoint of the authors'
            TensorFlow-1 programs (prefix or directory).

    Raises:
        UserError: there is nothing of the kind, or it is damaged; names the path.
    """
    prefix = pathlib.Path(path).expanduser()
    if pathlib.Path(f"{prefix}.index").exists():
        run = prefix.parent.parent
        return _from_run(run, str(prefix)) if (run / "config.yaml").exists() else _from_tf1(path)
    found = paths.find_input(path)
    if found.is_file():
        return load_keras_file(found, ImageClassifier)
    if (found / "model.keras").exists():
        return load_keras_file(found / "model.keras", ImageClassifier)
    if (found / "config.yaml").exists():
        return _from_run(found, newest_checkpoint(found))
    return _from_tf1(found)


def _from_run(run: pathlib.Path, prefix: str) -> ImageClassifier:
    config = load_config(ClassificationConfig, run / "config.yaml")
    backbone = builders.build_backbone(config.model, config.train.weight_decay)
    with loading_checkpoint(prefix):
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        # TensorFlow writes "/" inside a key as ".S".
        num_classes = next(shapes[key][0] for key in shapes if "head.Slogits.Sbias/" in key)
        data = RunDirectory(run).read_data()
        names = None if data is None else data.class_names
        model = ImageClassifier(backbone, num_classes, names)
        restore_weights(prefix, model, config.train.weight_average)
    return model


def _from_tf1(path: str | os.PathLike) -> ImageClassifier:
    from sact_tf.checkpoints import load_checkpoint

    return load_checkpoint(path).model
