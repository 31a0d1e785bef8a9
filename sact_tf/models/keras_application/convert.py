"""Networks of `keras.applications` as adaptive ones, and the way back."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from sact_tf.errors import UserError
from sact_tf.models.depths import depth_of_units
from sact_tf.models.image_classifier import ImageClassifier
from sact_tf.models.keras_application.class_names import NUM_CLASSES, imagenet_classes
from sact_tf.models.keras_application.form import PREDICTIONS, Weights, form_of, unit_prefix
from sact_tf.models.keras_application.sources import IMAGENET, read_source
from sact_tf.models.resnet_backbone import ResNetBackbone

_IMAGE_SIZE = 224
_STEM_CHANNELS = 64  # of every network that keras.applications builds
# What `to_keras_application` needs, as `ResNetBackbone` is asked for it.
_NEEDED = {
    "stem": "keras",
    "stem_channels": _STEM_CHANNELS,
    "unit": "bottleneck",
    "strided_unit": "last",
    "negative_slope": 0.0,
    "batch_norm_epsilon": 1.001e-5,
}


def from_keras_application(
    source: str | os.PathLike | keras.Model,
    halting: str | None = "sact",
    weights: str | None = IMAGENET,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    **options: Any,
) -> ImageClassifier:
    """The network of `keras.applications.ResNet50V2`, `ResNet101V2` or `ResNet152V2`, adaptive.

    With `halting=None` it computes what the Keras model computes before its softmax. Halting scores
    are new: they want some training (docs/photos.md has a recipe).

    Args:
        source: "ResNet50V2", "ResNet101V2" or "ResNet152V2"; a model that `keras.applications`
            built; or the path of a file: of its weights (`.h5`, `.weights.h5`) or of the model
            (`.keras`).
        halting: None, "act" or "sact".
        weights: for a name: "imagenet" (Keras downloads them), None (random) or the path of a file
            of weights.
        num_classes: None keeps the source's head, and so does the source's number; another number
            gets a new one.
        class_names: one name per class. A head of 1,000 classes has those of ImageNet unless given.
        preprocessing: of the images, see `ImageClassifier`; by default they are cropped to their
            central 0.875, resized to 224 x 224 and scaled as x / 127.5 - 1.
        **options: of `ResNetBackbone` (`halting_bias`, `ponder_weight`, `execution`, `dtype`, ...).

    Returns:
        The classifier; `.backbone` is its `ResNetBackbone`.

    Raises:
        UserError: the source is no ResNet V2, has no head where its head is asked for, or cannot be
            read or downloaded.
        ValueError: names and classes differ in number, or a backbone refuses its options.

    Example:

        model = sact_tf.models.from_keras_application("ResNet50V2", num_classes=10)
        plain = sact_tf.models.from_keras_application("ResNet50V2", halting=None)
    """
    arrays = read_source(source, weights)
    return classifier_of(arrays, halting, num_classes, class_names, preprocessing, **options)


def classifier_of(
    arrays: Weights,
    halting: str | None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    **options: Any,
) -> ImageClassifier:
    """`from_keras_application` of arrays that are read already."""
    form = form_of(arrays)
    if num_classes is None:
        num_classes = form.num_classes
    if num_classes is None:
        raise UserError(
            f"the source has no head (no layer {PREDICTIONS!r}, as with include_top=False): "
            "expected num_classes for a new one, received None"
        )
    keeps_head = num_classes == form.num_classes
    if class_names is None and keeps_head and num_classes == NUM_CLASSES:
        class_names = imagenet_classes()
    backbone = ResNetBackbone.keras_v2(
        form.units,
        base_channels=form.base_channels,
        stem_channels=form.stem_channels,
        halting=halting,
        **{"image_shape": (None, None, form.image_channels), **options},
    )
    if preprocessing is None:
        preprocessing = {"name": "imagenet", "image_size": _IMAGE_SIZE}
    model = ImageClassifier(backbone, num_classes, class_names, dict(preprocessing))
    layers = _layers(model)
    given = {name: values for name, values in arrays.items() if values}
    if not keeps_head:
        del layers[PREDICTIONS]
        given.pop(PREDICTIONS, None)
    for name in [*layers, *given]:
        ours = _shapes(layers[name].weights if name in layers else [])
        theirs = _shapes(given.get(name, []))
        if ours != theirs:
            raise UserError(
                "expected a ResNet V2 of keras.applications, found another network: its layer "
                f"{name} has weights of the shapes {theirs}, expected {ours}"
            )
    for name, layer in layers.items():
        layer.set_weights(
            [np.reshape(v, w.shape) for v, w in zip(given[name], layer.weights, strict=True)]
        )
    return model


def to_keras_application(
    model: ImageClassifier,
    include_top: bool = True,
    input_shape: Sequence[int | None] | None = None,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """A `keras.applications` model with the weights of a plain classifier of that form.

    Args:
        model: an `ImageClassifier` as `from_keras_application` makes it, with `halting=None`.
        include_top, input_shape, classifier_activation: as in `keras.applications.ResNet50V2`: a
            model with a top is for images of one size, 224 x 224 unless given.

    Returns:
        The model, named as Keras names it (`resnet50v2`); it needs nothing of this package.

    Raises:
        ValueError: the model halts, or is of another form; says what differs.
    """
    if not isinstance(model, ImageClassifier):
        raise ValueError(f"Expected an ImageClassifier, received {type(model).__name__}")
    if model.halting_kind is not None:
        raise ValueError(
            "keras.applications has no halting: expected a model with halting=None, received "
            f"{model.halting_kind!r}; sact_tf.models.plain_network.plain_network makes one"
        )
    config = model.backbone.get_config()
    differing = {key: config[key] for key, value in _NEEDED.items() if config[key] != value}
    if differing:
        raise ValueError(
            f"Expected a model of the form of keras.applications, with {_NEEDED}, received "
            f"{differing}"
        )
    built = _build(model, include_top, input_shape, classifier_activation)
    for name, layer in _layers(model).items():
        if name == PREDICTIONS and not include_top:
            continue
        target = built.get_layer(name)
        values = zip(layer.get_weights(), target.weights, strict=True)
        target.set_weights([np.reshape(value, weight.shape) for value, weight in values])
    return built


def _build(model, include_top, input_shape, classifier_activation):
    """The Keras model with random weights, of any number of units."""
    from keras.src.applications import resnet

    config = model.backbone.get_config()
    units, channels = config["units"], config["base_channels"]

    def stages(maps):
        for stage, number in enumerate(units):
            maps = resnet.stack_residual_blocks_v2(
                maps,
                channels * 2**stage,
                number,
                stride1=1 if stage == len(units) - 1 else 2,
                name=unit_prefix(stage, 0).split("_")[0],
            )
        return maps

    return resnet.ResNet(
        stages,
        preact=True,
        use_bias=True,
        include_top=include_top,
        weights=None,
        input_shape=input_shape,
        classes=model.num_classes,
        classifier_activation=classifier_activation,
        name=f"resnet{depth_of_units(units) or ''}v2",
    )


def _shapes(weights):
    """Without axes of one: a dense layer's kernel is that of a 1x1 convolution."""
    return [tuple(side for side in weight.shape if side != 1) for weight in weights]


def _layers(model: ImageClassifier) -> dict[str, keras.layers.Layer]:
    """Layers of a classifier by the name that Keras gives them."""
    layers: dict[str, keras.layers.Layer] = {"conv1_conv": model.backbone.stem.conv}
    # In the order of the network, whichever block a strided unit belongs to.
    units = iter([unit for block in model.backbone.blocks for unit in block.units])
    for stage, number in enumerate(model.backbone.get_config()["units"]):
        for index in range(number):
            unit, prefix = next(units), unit_prefix(stage, index)
            layers |= {
                f"{prefix}preact_bn": unit.preact,
                f"{prefix}1_conv": unit.conv1,
                f"{prefix}1_bn": unit.bn1,
                f"{prefix}2_conv": unit.conv2,
                f"{prefix}2_bn": unit.bn2,
                f"{prefix}3_conv": unit.conv3,
            }
            if unit.shortcut is not None:
                layers[f"{prefix}0_conv"] = unit.shortcut
    return layers | {"post_bn": model.postnorm, PREDICTIONS: model.logits}
