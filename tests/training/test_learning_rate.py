"""The learning rate at each step, and in the optimizer."""

import keras
import numpy as np
import pytest

from sact_tf.training.config.sections import LearningRateConfig
from sact_tf.training.loop.learning_rate import LearningRate


def _rates(steps, total=100, **settings):
    schedule = LearningRate(LearningRateConfig(settings), total)
    return [float(schedule(step)) for step in steps]


def test_piecewise_constant_changes_at_its_boundaries():
    rates = _rates(
        [0, 9, 10, 19, 20, 99],
        schedule="piecewise_constant", boundaries=[10, 20], values=[1.0, 0.1, 0.01],
    )  # fmt: skip
    np.testing.assert_allclose(rates, [1, 1, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)


def test_cosine_falls_from_initial_to_zero_after_the_warm_up():
    rates = _rates([0, 4, 9, 10, 55, 100], schedule="cosine", initial=0.2, warmup_steps=10)
    np.testing.assert_allclose(rates, [0.02, 0.1, 0.2, 0.2, 0.1, 0.0], atol=1e-7)


def test_constant_stays():
    assert _rates([0, 50, 1000], schedule="constant", initial=0.5) == [0.5] * 3


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_optimizer_uses_the_schedule(schedule):
    config = LearningRateConfig({"schedule": schedule, "initial": 0.5})
    optimizer = keras.optimizers.SGD(LearningRate(config, 2))
    weight = keras.Variable([0.0])
    optimizer.build([weight])
    for _ in range(2):
        optimizer.apply_gradients([(np.ones([1], np.float32), weight)])
    expected = -1.0 if schedule == "constant" else -0.75
    np.testing.assert_allclose(weight.numpy(), [expected], rtol=1e-6)
