"""Writes a trained model as an ONNX file, for ONNX Runtime and whatever else reads them.

tf2onnx, onnx and onnxruntime come with the extra `onnx`; nothing of them is imported before they
are needed.
"""

import importlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.files import atomic_path
from sact_tf.ops.conversion import converting
from sact_tf.paths import check_encoding
from sact_tf.serving.export.check import check_onnx
from sact_tf.serving.export.class_names import names_of_classes
from sact_tf.serving.export.log_lines import grappler_silenced
from sact_tf.serving.export.network import exported_network
from sact_tf.serving.export.onnx_suppression import OPERATION, convert_suppression

SUFFIX = ".onnx"
_OPSET = 18
_PACKAGES = ("onnx", "tf2onnx", "onnxruntime")


def export_onnx(
    model: keras.Model,
    output: str | os.PathLike,
    execution: str | None = None,
    preprocessing: dict[str, Any] | None = None,
    top: int = 5,
    fold_batch_norm: bool = True,
    ponder_map: bool = False,
) -> dict[str, Any]:
    """Exports a classifier or a detector as an ONNX file.

    Its input `images` is float32 [B, H, W, 3], pixels from 0 to 255 in RGB, B, H and W free where
    the model leaves them free: pixel values are scaled in the file, cropping and resizing are the
    caller's (`preprocessing` in the metadata says what the model was trained with). Its outputs are
    those of the SavedModel's signature `images`; with `ponder_map` those of `ponder_map`, without
    `image_size` (`sact_tf.serving.export.kinds`).

    The file computes in float32, whatever the model computes in. The metadata has `sact_tf`, the
    returned dict as JSON, and `class_names`, a JSON list. What was written is run in ONNX Runtime
    and compared with the model before the file gets its name.

    Args:
        model: an `ImageClassifier` or a `FasterRCNN`.
        output: the file to write, whose name ends in ".onnx".
        execution: "masked", "tiled" or "auto"; None keeps the model's. "auto" is written as
            "tiled", for the file has no branches.
        preprocessing: how an image becomes the network's input; None takes the model's.
        top: how many classes a classifier lists for each image.
        fold_batch_norm: whether to fold batch normalizations into convolutions (`folded_copy`).
        ponder_map: whether the file also tells what was spent, and where.

    Returns:
        The `description` of `ExportedNetwork` and `largest_difference` (found in the check,
        relative).

    Raises:
        UserError: the extra `onnx` is not installed, the file exists or its name has another
            suffix; the model or an option doesn't fit.
        RuntimeError: the file does not compute what the model computes.
    """
    output = checked_output(output)
    onnx = _import_onnx()
    network = exported_network(model, execution, preprocessing, top, fold_batch_norm, "float32")
    kind, copy = network.kind, network.copy
    converted = to_onnx(copy, lambda images: kind.answer_to_pixels(copy, images, ponder_map))
    _add_class_names(converted, names_of_classes(model.class_names, model.num_classes))
    description = network.description
    description["versions"] |= {
        name: importlib.import_module(name).__version__ for name in _PACKAGES
    }
    with atomic_path(output) as path:
        _write(converted, path, description, model)
        size = model.image_shape[:2]
        expect = _expected(kind, ponder_map)
        description["largest_difference"] = check_onnx(path, expect, model.compute_dtype, size)
        _write(converted, path, description, model)
    onnx.checker.check_model(str(output))
    return description


def to_onnx(network: keras.Model, answer: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> Any:
    """Converts a network for inference.

    Args:
        network: an `AdaptiveModel`, whose variables become constants.
        answer: function of images, float32 [B, H, W, 3], that runs it.

    Returns:
        An `onnx.ModelProto` with the input `images` and outputs by the keys of the answer.
    """
    import tf2onnx

    for name in ("tf2onnx", "tf2onnx.tfonnx"):
        logging.getLogger(name).setLevel(logging.ERROR)  # of what it does step by step
    # Basic units have nothing but 3x3 convolutions.
    by_position = network.halting_kind == "sact" and _unit(network) != "basic"
    spec = tf.TensorSpec([None, *network.image_shape], tf.float32, "images")

    @tf.function(input_signature=[spec], autograph=False)
    def traced(images):
        with converting(channels_last=by_position):
            return answer(images)

    with grappler_silenced():
        converted, _ = tf2onnx.convert.from_function(
            traced,
            input_signature=[spec],
            opset=_OPSET,
            custom_op_handlers={OPERATION: (convert_suppression, [])},
        )
    return converted


def _unit(network):
    return getattr(network, "backbone", network).get_config()["unit"]


def _add_class_names(converted, names):
    """Adds the output `classes`: the names of the `labels`, "" for -1."""
    from onnx import TensorProto, helper

    graph = converted.graph
    [labels] = (value for value in graph.output if value.name == "labels")
    table = [name.encode() for name in (*names, "")]
    graph.initializer.append(
        helper.make_tensor("class_names", TensorProto.STRING, [len(table)], table)
    )
    graph.node.append(helper.make_node("Gather", ["class_names", "labels"], ["classes"], axis=0))
    classes = graph.output.add()
    classes.CopyFrom(labels)
    classes.name = "classes"
    classes.type.tensor_type.elem_type = TensorProto.STRING


def _write(converted, path, description, model):
    from onnx import helper

    names = names_of_classes(model.class_names, model.num_classes)
    texts = {"sact_tf": json.dumps(description), "class_names": json.dumps(names)}
    helper.set_model_props(converted, texts)
    path.write_bytes(converted.SerializeToString())


def _expected(kind, ponder_map):
    """What the model in memory makes of pictures, by the names of the file's outputs."""

    def expect(images: np.ndarray) -> Mapping[str, tf.Tensor]:
        outputs = kind.answer_to_pixels(kind.model, tf.constant(images), ponder_map)
        # Of classes and boxes that are as good as equal either may come first.
        return {name: outputs[name] for name in outputs if name not in ("labels", "boxes")}

    return expect


def checked_output(output: str | os.PathLike) -> pathlib.Path:
    """The path to write to, `~` expanded.

    Raises:
        UserError: see `export_onnx`.
    """
    output = pathlib.Path(output).expanduser()
    check_encoding(output)
    if output.suffix != SUFFIX:
        raise UserError(f"{output}: expected a file name that ends in {SUFFIX}")
    if output.exists():
        raise UserError(f"{output}: exists; take another name, or delete it")
    return output


def _import_onnx():
    """The package onnx, where all are there that the extra brings."""
    try:
        return [importlib.import_module(name) for name in _PACKAGES][0]
    except ImportError as error:
        raise UserError(
            f"An ONNX file needs {', '.join(_PACKAGES)} ({error}): pip install 'sact_tf[onnx]'"
        ) from None
