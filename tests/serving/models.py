"""Small models to export, and pictures to send."""

import io

import numpy as np
from PIL import Image

import sact_tf
from tests.harness import randomize
from tests.models.networks import make_backbone

CLASS_NAMES = ["cat", "dog", "crème brûlée", "owl", "ox"]


def make_model(net="cifar", halting="sact", preprocessing=None, class_names=CLASS_NAMES, **kwargs):
    """A random classifier of five classes that takes images of any size as they are."""
    model = sact_tf.models.ImageClassifier(
        make_backbone(net, halting, **kwargs),
        5,
        class_names=class_names,
        preprocessing={"name": "scale"} if preprocessing is None else preprocessing,
    )
    randomize(model.head, 7)
    return model


def pixels(height=24, width=30, seed=0):
    """uint8 [height, width, 3], smooth enough for JPEG."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, [4, 5, 3], np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encode(image, kind="PNG", **kwargs):
    """The bytes of a picture file of a uint8 array or a Pillow image."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **kwargs)
    return buffer.getvalue()
