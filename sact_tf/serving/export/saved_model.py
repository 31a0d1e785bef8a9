"""Writes a trained model as a SavedModel that needs neither this package nor Keras."""

import os
import pathlib
import tempfile
from typing import Any

import keras
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.files import atomic_directory, atomic_write_json
from sact_tf.paths import check_encoding
from sact_tf.serving import DESCRIPTION
from sact_tf.serving.export.check import check_export
from sact_tf.serving.export.class_names import ClassNames, write_class_names
from sact_tf.serving.export.network import exported_network


def export(
    model: keras.Model,
    output_dir: str | os.PathLike,
    execution: str | None = None,
    preprocessing: dict[str, Any] | None = None,
    top: int = 5,
    fold_batch_norm: bool = True,
) -> dict[str, Any]:
    """Exports a classifier or a detector in the layout of TensorFlow Serving.

    `sact_tf.serving.export.kinds` describes the signatures. What was written is loaded again and
    compared with the model before the folder gets its name: it is there whole and right, or not at
    all. The model stays as it is.

    Args:
        model: an `ImageClassifier` or a `FasterRCNN`.
        output_dir: the folder to make, whose name is the version: a positive integer.
        execution: "masked", "tiled", "auto" or "static"; None keeps the model's.
        preprocessing: how an image becomes the network's input; None takes the model's.
        top: how many classes a classifier lists for each image.
        fold_batch_norm: whether to fold batch normalizations into convolutions (`folded_copy`).

    Returns:
        JSON-able dict, which is also in the export as `assets.extra/sact_tf.json`: the
        `description` of `ExportedNetwork` and `largest_difference` (found in the check, relative).

    Raises:
        UserError: the folder exists or its name is no version; the model or an option doesn't fit.
        RuntimeError: the export does not compute what the model computes.
    """
    output_dir = _checked_output(output_dir)
    network = exported_network(model, execution, preprocessing, top, fold_batch_norm)
    kind, description = network.kind, network.description
    with tempfile.TemporaryDirectory() as scratch, atomic_directory(output_dir) as folder:
        names_file = pathlib.Path(scratch) / "class_names.txt"
        write_class_names(names_file, model.class_names, model.num_classes)
        class_names = ClassNames(names_file)
        _save(kind.signatures(network.copy, class_names), class_names, folder)
        difference = check_export(folder, kind.expected, model.compute_dtype)
        description["largest_difference"] = difference
        atomic_write_json(folder / DESCRIPTION, description)
    return description


def _save(signatures, class_names, folder):
    traced = {name: function.get_concrete_function() for name, function in signatures.items()}
    root = tf.Module(name="sact_tf_export")
    root.class_names = class_names
    # The variables that the graphs read, and no layers: nothing of Keras goes into the file.
    variables = {id(v): v for function in traced.values() for v in function.graph.variables}
    root.weights = list(variables.values())
    tf.saved_model.save(root, str(folder), signatures=traced)


def _checked_output(output_dir):
    output_dir = pathlib.Path(output_dir).expanduser()
    check_encoding(output_dir)
    version = output_dir.name
    if not (version.isascii() and version.isdigit() and int(version) > 0):
        raise UserError(
            f"{output_dir}: expected a folder named by the version, a positive integer, as in "
            f"{output_dir / '1'}"
        )
    if output_dir.exists():
        raise UserError(
            f"{output_dir}: exists; a version never changes, take the next number for a new one"
        )
    return output_dir
