"""Sizes at which images enter a detector."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.detection.preprocessing import input_size, preprocessing_function
from sact_tf.errors import UserError


@pytest.mark.parametrize(
    "size, short, long, expected",
    [
        ((480, 640), 600, 1024, (600, 800)),
        ((640, 480), 600, 1024, (800, 600)),
        ((300, 900), 600, 1024, (341, 1024)),  # The long side decides.
        ((1200, 1600), 600, 1024, (600, 800)),
        ((5, 5000), 600, 1024, (1, 1024)),
        ((50, 70), None, 60, (43, 60)),
        ((50, 70), None, 100, (50, 70)),  # Never enlarged without a short side.
        ((50, 70), 100, None, (100, 140)),
    ],
)
def test_input_size(size, short, long, expected):
    preprocessing = {"name": "unit", "short_side": short, "long_side": long}
    assert tuple(input_size(tf.constant(size), preprocessing).numpy()) == expected
    image, scale = preprocessing_function(preprocessing)(tf.zeros([*size, 3], tf.uint8))
    assert image.shape == (*expected, 3)
    np.testing.assert_allclose(scale, np.array(expected) / size, rtol=1e-6)


def test_shrinking_averages():
    checks = np.indices([64, 64]).sum(axis=0) % 2 * 255
    image = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    small, _ = preprocessing_function({"name": "unit", "short_side": 16})(tf.constant(image))
    np.testing.assert_allclose(small, 0.5, atol=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"short_side": 3},
        {"name": "nothing", "short_side": 3},
        {"name": "unit", "short_side": 0},
        {"name": "unit", "long_side": "600"},
        {"name": "unit", "image_size": 3},
        None,
    ],
)
def test_wrong_descriptions(wrong):
    with pytest.raises(UserError, match="preprocessing"):
        preprocessing_function(wrong)
