"""Learning rate schedules."""

import math
from typing import Any

import keras
import tensorflow as tf

from sact_tf.training.config.loading import given
from sact_tf.training.config.sections import LearningRateConfig


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule as configured by `LearningRateConfig`.

    Args:
        config: the section `train.learning_rate`.
        total_steps: steps of the run, where cosine reaches zero.
    """

    def __init__(self, config: LearningRateConfig, total_steps: int):
        super().__init__()
        self.config = config
        self.total_steps = total_steps

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """Returns the learning rate of step number `step` (from 0), float32."""
        config = self.config
        step = tf.cast(step, tf.float32)
        if config.schedule == "piecewise_constant":
            passed = tf.reduce_sum(tf.cast(step >= config.boundaries, tf.int32))
            rate = tf.gather(tf.constant(config.values, tf.float32), passed)
        elif config.schedule == "cosine":
            begin = float(config.warmup_steps)
            share = tf.clip_by_value((step - begin) / (self.total_steps - begin), 0.0, 1.0)
            rate = given(config.initial) * 0.5 * (1.0 + tf.cos(math.pi * share))
        else:
            rate = tf.constant(config.initial, tf.float32)
        if config.warmup_steps:
            rate *= tf.minimum(1.0, (step + 1.0) / config.warmup_steps)
        return rate

    def get_config(self) -> dict[str, Any]:
        return {"config": self.config.as_dict(), "total_steps": self.total_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LearningRate":
        return cls(LearningRateConfig(config["config"]), config["total_steps"])
