"""A version of a SavedModel, loaded with TensorFlow alone."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from sact_tf.errors import UserError
from sact_tf.serving import DESCRIPTION
from sact_tf.text import one_line


class Servable:
    """The signatures of one version.

    Args:
        folder: the version's folder, with `saved_model.pb`.

    Attributes:
        version: int, the folder's name.
        inputs: dict by signature of dicts by input name of tf.TensorSpec.
        description: what `sact_tf.serving.export` wrote about it; empty for other SavedModels.

    Raises:
        UserError: it cannot be loaded.
    """

    def __init__(self, folder: pathlib.Path):
        self.version = int(folder.name)
        try:
            self._model = tf.saved_model.load(str(folder))
            self._signature_defs = _read_signature_defs(folder)
            self.description = _read_description(folder)
        # A damaged file makes the loader raise whatever it meets.
        except Exception as error:
            reason = one_line(error)[:200]
            raise UserError(f"{folder}: cannot be loaded as a SavedModel: {reason}") from error
        self._functions = dict(self._model.signatures)
        if not self._functions:
            raise UserError(f"{folder}: the SavedModel has no signatures")
        self.inputs = {
            name: function.structured_input_signature[1]
            for name, function in self._functions.items()
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """The signatures in the JSON form of TensorFlow Serving's metadata."""
        return self._signature_defs

    @property
    def input_size(self) -> list[int] | None:
        """[height, width] that every image is brought to, None if images differ or nobody knows."""
        size = self.description.get("input_size")
        return size if isinstance(size, list) else None

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature.

        Raises:
            tf.errors.OpError: the inputs are of the right form, and still cannot be computed.
        """
        tensors = {
            name: tf.constant(inputs[name], spec.dtype)
            for name, spec in self.inputs[signature].items()
        }
        outputs = self._functions[signature](**tensors)
        return {name: value.numpy() for name, value in outputs.items()}


def find_version(export_dir: str | os.PathLike) -> pathlib.Path:
    """The folder of the newest version, the highest number, in a folder of versions.

    Raises:
        UserError: there is none.
    """
    path = pathlib.Path(export_dir).expanduser()
    if not path.is_dir():
        raise UserError(f"{path}: no such directory")
    versions = [
        folder
        for folder in path.iterdir()
        if folder.name.isascii() and folder.name.isdigit() and (folder / "saved_model.pb").exists()
    ]
    if not versions:
        hint = ""
        if (path / "saved_model.pb").exists():
            hint = f"; this is one version itself, its parent {path.parent} is the folder to give"
        raise UserError(f"{path}: no version in it (a folder named by a number, as in 1){hint}")
    return max(versions, key=lambda folder: int(folder.name))


def _read_signature_defs(folder):
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    return {
        name: json_format.MessageToDict(
            definition,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name, definition in proto.meta_graphs[0].signature_def.items()
    }


def _read_description(folder):
    file = folder / DESCRIPTION
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return content if isinstance(content, dict) else {}
