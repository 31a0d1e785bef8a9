import numpy as np
import pytest
import tensorflow as tf

from sact_tf.models import ImageClassifier, ResNetBackbone
from tests.harness import randomize


@pytest.fixture
def make_classifier():
    """Makes a small classifier whose halting scores spread over (0, 1)."""

    def make(halting="sact", units=(3, 2), **options):
        backbone = ResNetBackbone(
            units,
            base_channels=4,
            stem="cifar",
            stem_channels=4,
            unit="basic",
            halting=halting,
            **{"halting_bias": -1.0, **options},
        )
        return randomize(ImageClassifier(backbone, num_classes=3))

    return make


@pytest.fixture(scope="session")
def images():
    """Images that differ from place to place and from one to the next, [24, 16, 16, 3]."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=[24, 4, 4, 3]) * rng.uniform(0.2, 2, [24, 1, 1, 1])
    return tf.constant(coarse.repeat(4, 1).repeat(4, 2), tf.float32)
