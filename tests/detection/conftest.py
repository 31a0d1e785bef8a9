"""A small detector and a batch of images, for the tests of this folder."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.detection import FasterRCNN
from sact_tf.models import ResNetBackbone
from tests.harness import randomize


@pytest.fixture(scope="session")
def make_detector():
    """Makes a small detector with random weights, of stride 8."""

    def make(halting="sact", unit="basic", random=True, backbone=None, **options):
        extractor = ResNetBackbone(
            (2, 2, 2),
            unit=unit,
            halting=halting,
            **{
                "base_channels": 4,
                "stem_channels": 4,
                "halting_bias": -1.0,
                "batch_norm_momentum": 0.9,
                **(backbone or {}),
            },
        )
        arguments = {
            "anchor_sizes": (16, 32),
            "rpn_channels": 16,
            "num_proposals": 24,
            "sampled_anchors": 64,
            "sampled_regions": 16,
            "crop_size": 7,
        }
        detector = FasterRCNN(extractor, 3, **{**arguments, **options})
        return randomize(detector) if random else detector

    return make


@pytest.fixture(scope="session")
def scene():
    """A batch of two images of 64x80 pixels, the second padded, with their boxes."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=[2, 64, 80, 3]).astype("float32")
    valid = np.ones([2, 64, 80], bool)
    valid[1, 48:], valid[1, :, 56:] = False, False
    images[~valid] = np.nan
    boxes = [[[4, 6, 24, 30], [30, 40, 60, 76]], [[10, 12, 40, 44], [0, 0, 0, 0]]]
    return {
        "image": tf.constant(images),
        "valid": tf.constant(valid),
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.constant([[0, 2], [1, -1]]),
        "crowd": tf.zeros([2, 2], tf.bool),
    }
