"""Finding and loading the model that a `--model` or `train.warm_start` means."""

import os
import pathlib

import tensorflow as tf

from sact_tf import paths
from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier
from sact_tf.models.keras_application.convert import classifier_of
from sact_tf.models.keras_application.form import form_of
from sact_tf.models.keras_application.sources import DEPTHS, IMAGENET, read_source
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

_KERAS = "keras:"


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


def load_keras_application(path: str) -> ImageClassifier | None:
    """Loads what `train.warm_start` means by `keras:...`; None for anything else.

    Args:
        path: `keras:NAME` (ResNet50V2, ...), `keras:NAME:FILE` or `keras:FILE`.

    Returns:
        The plain network. Weights without a top give a head of one class, which fits nothing.

    Raises:
        UserError: see `from_keras_application`.
    """
    if not path.startswith(_KERAS):
        return None
    source, weights = path.removeprefix(_KERAS), IMAGENET
    name, _, file = source.partition(":")
    if name in DEPTHS:
        source, weights = name, file or IMAGENET
    try:
        arrays = read_source(source, weights)
        num_classes = form_of(arrays).num_classes
        names = None if num_classes else ["weights without top"]
        return classifier_of(arrays, None, num_classes or 1, names)
    except UserError as error:
        raise UserError(f"train.warm_start={path}: {error}") from None


def _from_run(run: pathlib.Path, prefix: str) -> ImageClassifier:
    config = load_config(ClassificationConfig, run / "config.yaml")
    backbone = builders.build_backbone(config.model, config.train.weight_decay)
    with loading_checkpoint(prefix):
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        # TensorFlow writes "/" inside a key as ".S".
        num_classes = next(shapes[key][0] for key in shapes if "head.Slogits.Sbias/" in key)
        data = RunDirectory(run).read_data()
        names = None if data is None else data.class_names
        preprocessing = builders.preprocessing_of(config.data)
        model = ImageClassifier(backbone, num_classes, names, preprocessing=preprocessing)
        restore_weights(prefix, model, config.train.weight_average)
    return model


def _from_tf1(path: str | os.PathLike) -> ImageClassifier:
    from sact_tf.checkpoints import load_checkpoint

    return load_checkpoint(path).model
