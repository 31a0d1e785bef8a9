"""Exponential moving average of a model's weights."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

# The weight of the start falls off with 1/step until the configured decay is reached.
_WARMUP = 10.0


class WeightAverage(tf.Module):
    """Averages over the steps of training; what is evaluated and saved as the model.

        decay_k = min(decay, (1 + k) / (10 + k))
        average += (1 - decay_k) * (weight - average)        after step k = 1, 2, ...

    Moving statistics of batch normalization are averages themselves, of the activations that the
    weights of each step caused. `averaged` takes the same average of them, so that weights and
    statistics belong to the same steps; `latest` leaves the statistics of the last step.

    Args:
        model: a built Keras model.
        decay: of (0, 1).
        moving_statistics: `averaged` or `latest`.
    """

    def __init__(self, model: keras.Model, decay: float, moving_statistics: str = "averaged"):
        super().__init__(name="weight_average")
        self.decay = decay
        averaged = model.weights if moving_statistics == "averaged" else model.trainable_variables
        self._variables = {
            variable.path: variable.value
            for variable in averaged
            if tf.as_dtype(variable.dtype).is_floating
        }
        self._averages = {
            path: tf.Variable(value, trainable=False, name="average")
            for path, value in self._variables.items()
        }

    @property
    def averages(self) -> dict[str, tf.Variable]:
        """By path of the model's variable."""
        return dict(self._averages)

    def restart(self) -> None:
        """Begins anew from the weights as they stand, for instance after a warm start."""
        for path, average in self._averages.items():
            average.assign(self._variables[path])

    def update(self, step: tf.Tensor) -> None:
        """Takes in the weights after step number `step` (from 1); outside of replicas."""
        step = tf.cast(step, tf.float32)
        share = 1.0 - tf.minimum(self.decay, (1.0 + step) / (_WARMUP + step))
        strategy = tf.distribute.get_strategy()
        for path, average in self._averages.items():
            strategy.extended.update(
                average, _move, args=(self._variables[path], share), group=False
            )

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averages for weights inside, and its own again after."""
        own: dict[str, np.ndarray] = {
            path: variable.numpy() for path, variable in self._variables.items()
        }
        try:
            for path, variable in self._variables.items():
                variable.assign(self._averages[path])
            yield
        finally:
            for path, variable in self._variables.items():
                variable.assign(own[path])


def _move(average, value, share):
    return average.assign_add(
        tf.cast(share, average.dtype) * (tf.cast(value, average.dtype) - average)
    )
