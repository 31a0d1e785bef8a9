"""What a training run works on and keeps in its checkpoints."""

import dataclasses
from collections.abc import Iterable

import keras
import orbit
import tensorflow as tf

from sact_tf.budget import BudgetController
from sact_tf.training.config.sections import TrainConfig
from sact_tf.training.loop.learning_rate import LearningRate
from sact_tf.training.loop.throughput import Throughput
from sact_tf.training.loop.weight_average import WeightAverage


@dataclasses.dataclass
class TrainingState:
    """What a trainer works on, made in the scope of the strategy.

    Attributes:
        model: a Keras model.
        optimizer: built for the model's trainable variables.
        learning_rate: the optimizer's schedule, a function of the step.
        step: int64 variable, counts the steps.
        controller: what steers the FLOPs of training, or None. `Trainer.observe` must give the mean
            `flops_ratio` for it.
        average: of the weights, or None.
        throughput: counts time and steps.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    learning_rate: LearningRate
    step: tf.Variable
    controller: BudgetController | None
    average: WeightAverage | None
    throughput: Throughput


def build_state(
    config: TrainConfig, model: keras.Model, controller: BudgetController | None
) -> TrainingState:
    """Builds the state at step 0: SGD with momentum, its slots made, and what counts and averages.

    Args:
        config: the section `train`.
        model: with fresh weights.
        controller: see `TrainingState`.
    """
    learning_rate = LearningRate(config.learning_rate, config.steps)
    optimizer = ReducedGradientsSGD(learning_rate, momentum=config.momentum, name="sgd")
    optimizer.build(model.trainable_variables)
    average = config.weight_average
    return TrainingState(
        model=model,
        optimizer=optimizer,
        learning_rate=learning_rate,
        step=orbit.utils.create_global_step(),
        controller=controller,
        average=None if average is None else WeightAverage(model, **average.as_dict()),
        throughput=Throughput(config.batch_size),
    )


class ReducedGradientsSGD(keras.optimizers.SGD):
    """SGD for gradients that are the same in all replicas already.

    The trainer needs the gradient of the whole batch itself (its norm, whether it is finite), and
    Keras would send it around, and add it up, a second time.
    """

    def _all_reduce_sum_gradients(
        self, grads_and_vars: Iterable[tuple[tf.Tensor, tf.Variable]]
    ) -> list[tuple[tf.Tensor, tf.Variable]]:
        return list(grads_and_vars)
