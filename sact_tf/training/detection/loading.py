"""Finding and loading the detector that a `--model` or `train.warm_start` means."""

import os
import pathlib
import zipfile

import keras
import yaml

from sact_tf import paths
from sact_tf.detection import FasterRCNN
from sact_tf.errors import UserError
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.config.loading import load_config
from sact_tf.training.detection import builders
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.run_directory.checkpoints import (
    loading_checkpoint,
    newest_checkpoint,
    restore_weights,
)
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.keras_files import load_keras_file
from sact_tf.training.run_directory.recorded_data import check_classes


def load_detector(path: str | os.PathLike) -> FasterRCNN:
    """Loads a detector with its weights.

    Args:
        path: a `.keras` file, or a run directory of `train.coco` (its `model.keras`, else its
            newest checkpoint).

    Raises:
        UserError: there is nothing of the kind, or it is damaged; names the path.
    """
    found = paths.find_input(path)
    if found.is_dir() and (found / "model.keras").exists():
        found = found / "model.keras"
    if found.is_file():
        return load_keras_file(found, FasterRCNN)
    if not is_detection_run(found):
        raise UserError(f"{path}: expected a .keras file or a run directory of train.coco")
    return _from_checkpoint(found, newest_checkpoint(found))


def load_detector_or_classifier(path: str | os.PathLike) -> keras.Model:
    """Loads whatever a detector may start from: a detector, or what `load_classifier` takes."""
    given = pathlib.Path(path).expanduser()
    if is_detection_run(given) or given.suffix == ".keras" and _holds_detector(given):
        return load_detector(path)
    return load_classifier(path)


def is_detection_run(directory: pathlib.Path) -> bool:
    """Whether a directory is a run of `train.coco`."""
    try:
        config = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
        return "detector" in config["model"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return False


def _holds_detector(file: pathlib.Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return b'"FasterRCNN"' in archive.read("config.json")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False  # `load_classifier` says what is wrong.


def _from_checkpoint(run: pathlib.Path, prefix: str) -> FasterRCNN:
    config = load_config(DetectionConfig, run / "config.yaml")
    data, recorded = builders.build_data(config.data), RunDirectory(run).read_data()
    if recorded is not None:
        check_classes(recorded, data.identity(), run)
    model = builders.build_model(config, data)
    with loading_checkpoint(prefix):
        restore_weights(prefix, model, config.train.weight_average)
    return model
