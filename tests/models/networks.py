"""Small networks that the tests of models share."""

import keras
import numpy as np

from sact_tf.models import ImageClassifier, ResNetBackbone
from tests.harness import randomize

NAMES = ["imagenet", "cifar"]
ALL_NAMES = [*NAMES, "keras"]


def make_backbone(net="imagenet", halting="sact", seed=0, **kwargs):
    """A random two-block backbone of a few thousand weights that halts at different units."""
    options = {"halting": halting, "halting_bias": -0.5, "ponder_weight": 0.01, **kwargs}
    if net == "cifar":
        options["units_per_block"] = options.pop("units", (2, 3))
        backbone = ResNetBackbone.cifar(**{"base_channels": 4, **options})
    else:
        make = ResNetBackbone if net == "imagenet" else ResNetBackbone.keras_v2
        units = (2, 3) if net == "imagenet" else (3, 2)  # of stages; blocks of 2 and 3 units
        backbone = make(**{"units": units, "base_channels": 4, "stem_channels": 6, **options})
    return randomize(backbone, seed)


def make_classifier(net="imagenet", halting="sact", num_classes=5, seed=0, **kwargs):
    model = ImageClassifier(make_backbone(net, halting, seed, **kwargs), num_classes)
    randomize(model.head, seed + 1)
    return model


def compile_model(model, learning_rate=0.1, **kwargs):
    model.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **kwargs,
    )
    return model


def images(batch=2, height=32, width=36, seed=0):
    return np.random.default_rng(seed).normal(size=[batch, height, width, 3]).astype("float32")
