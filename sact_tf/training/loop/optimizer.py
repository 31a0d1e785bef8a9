"""The optimizer of all programs."""

import keras

from sact_tf.training.config.sections import TrainConfig
from sact_tf.training.loop.learning_rate import LearningRate


class ReducedGradientsSGD(keras.optimizers.SGD):
    """SGD for gradients that are the same in all replicas already.

    The trainer needs the gradient of the whole batch itself (its norm, whether it is finite), and
    Keras would send it around, and add it up, a second time.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return list(grads_and_vars)


def build_optimizer(
    config: TrainConfig, learning_rate: LearningRate, model
) -> keras.optimizers.Optimizer:
    """Builds SGD with momentum, its slots made."""
    optimizer = ReducedGradientsSGD(learning_rate, momentum=config.momentum, name="sgd")
    optimizer.build(model.trainable_variables)
    return optimizer
