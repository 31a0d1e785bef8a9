"""Names of the variables in the authors' checkpoints, and the weights of ours they stand for.

Units and blocks count from 1. Convolution weights are HWIO in both.
"""

from collections.abc import Iterator

import keras

from sact_tf.layers import BasicUnit, BottleneckUnit
from sact_tf.models import ImageClassifier

IMAGENET_SCOPE = "resnet_v2"
CIFAR_SCOPE = "resnet_residual"

_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")

# Parts of a unit: our attribute -> name below the unit's scope.
_BOTTLENECK = {
    "preact": "preact",
    "shortcut": "shortcut",
    "conv1": "conv1",
    "bn1": "conv1/BatchNorm",
    "conv2": "conv2",
    "bn2": "conv2/BatchNorm",
    "conv3": "conv3",
}
_BASIC = {"preact": "preact", "conv1": "conv1", "bn1": "conv1/BatchNorm", "conv2": "conv2"}
_HALTING = {name: name for name in ("local_bn", "local_conv", "global_bn", "global_conv")}


def variable_map(model: ImageClassifier) -> dict[str, keras.Variable]:
    """The authors' name of every weight of a classifier.

    Args:
        model: an `ImageClassifier` on the ImageNet or the CIFAR network.

    Returns:
        Dict from name to weight, in the order of the network. Every weight of the model is in it
        once.

    Raises:
        ValueError: the model is neither network (for instance bottleneck units on the CIFAR root).
    """
    backbone = model.backbone
    config = backbone.get_config()
    parts = {
        ("imagenet", "bottleneck"): _imagenet_parts,
        ("cifar", "basic"): _cifar_parts,
    }.get((config["stem"], config["unit"]))
    if parts is None:
        raise ValueError(
            "Only networks with stem='imagenet', unit='bottleneck' or stem='cifar', unit='basic' "
            f"have published names, received stem={config['stem']!r}, unit={config['unit']!r}"
        )
    names: dict[str, keras.Variable] = {}
    for scope, layer in parts(model):
        names.update(_weights_of(scope, layer))
    unnamed = {id(weight) for weight in model.weights} - {id(weight) for weight in names.values()}
    if unnamed:
        paths = [weight.path for weight in model.weights if id(weight) in unnamed]
        raise ValueError(f"No published name is known for the weights {paths}")
    return names


def _imagenet_parts(model) -> Iterator[tuple[str, keras.layers.Layer]]:
    yield f"{IMAGENET_SCOPE}/conv1", model.backbone.stem.conv
    yield from _block_parts(model, IMAGENET_SCOPE + "/block{}", "bottleneck_v2")
    yield f"{IMAGENET_SCOPE}/postnorm", model.postnorm
    yield f"{IMAGENET_SCOPE}/logits", model.logits


def _cifar_parts(model) -> Iterator[tuple[str, keras.layers.Layer]]:
    yield f"{CIFAR_SCOPE}/Conv", model.backbone.stem.conv
    yield from _block_parts(model, CIFAR_SCOPE + "/block_{}", "residual")
    yield f"{CIFAR_SCOPE}/BatchNorm", model.postnorm
    yield f"{CIFAR_SCOPE}/logits", model.logits


def _block_parts(model, block_scope, branch) -> Iterator[tuple[str, keras.layers.Layer]]:
    for block_number, block in enumerate(model.backbone.blocks, start=1):
        for unit_number, unit in enumerate(block.units, start=1):
            scope = f"{block_scope.format(block_number)}/unit_{unit_number}"
            yield from _layers_of(f"{scope}/{branch}", unit, _unit_names(unit))
            if unit_number <= len(block.halting_scores):
                score = block.halting_scores[unit_number - 1]
                yield from _layers_of(f"{scope}/halting_proba", score, _HALTING)


def _unit_names(unit) -> dict[str, str]:
    if isinstance(unit, BottleneckUnit):
        return _BOTTLENECK
    if isinstance(unit, BasicUnit):
        return _BASIC
    raise ValueError(f"No published name is known for units of type {type(unit).__name__}")


def _layers_of(scope, owner, names) -> Iterator[tuple[str, keras.layers.Layer]]:
    for attribute, name in names.items():
        layer = getattr(owner, attribute)
        if layer is not None:
            yield f"{scope}/{name}", layer


def _weights_of(scope, layer) -> Iterator[tuple[str, keras.Variable]]:
    if isinstance(layer, keras.layers.BatchNormalization):
        for name in _BATCH_NORM:
            yield f"{scope}/{name}", getattr(layer, name)
        return
    yield f"{scope}/weights", layer.kernel
    if layer.bias is not None:
        yield f"{scope}/biases", layer.bias
