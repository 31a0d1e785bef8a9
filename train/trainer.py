"""The inner training loop of all programs: gradients, update, checks, on any number of replicas."""

import abc
from collections.abc import Callable, Mapping
from typing import Any

import orbit
import tensorflow as tf

import sact_tf


class TrainingDiverged(Exception):
    """The loss, a gradient or a weight is NaN or infinite."""

    def __init__(self, step: int, what: str):
        super().__init__(f"{what} is NaN or infinite at step {step}")
        self.step = step
        self.what = what


class Trainer(orbit.AbstractTrainer, abc.ABC):
    """Minimizes a sum of losses by the mean gradient over the batch.

    A subclass says what the losses of a batch are (`losses`) and what else is worth a mean over the
    log interval (`observe`). It never sees how the batch is shared: each replica gets an equal
    part, all terms are means over examples, and the gradients' mean over the replicas is the
    gradient of the whole batch.

    Made inside the scope of a `tf.distribute.Strategy`, as model and optimizer.

    Args:
        model: a Keras model.
        optimizer: from `train.optimizer`, built for the model's trainable variables.
        learning_rate: the optimizer's schedule, a function of the step.
        dataset: endless batches for one replica, as `train.input_distribution` gives them.
        step: int64 variable, counts the steps.
        controller: `BudgetController` that steers the FLOPs of training, or None. `observe` must
            give the mean `flops_ratio` for it.
    """

    def __init__(
        self, *, model, optimizer, learning_rate: Callable, dataset, step: tf.Variable, controller
    ):
        super().__init__(name="trainer")
        self.model = model
        self.step = step
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._iterator = iter(dataset)
        self._controller = controller
        self._strategy = tf.distribute.get_strategy()
        if controller is not None:
            # A restored controller has moved on from the config's tau.
            sact_tf.set_ponder_weight(model, controller.ponder_weight)
        self._names: list[str] = []
        # -1 while everything is finite. A check per step inside the loop; read once per loop.
        self._first_bad_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._sums: tf.Variable | None = None
        self._take_step = tf.function(self._step)
        self._weights_are_finite = tf.function(self._check_weights)

    @abc.abstractmethod
    def losses(self, batch: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], Any]:
        """The terms of the loss, in training mode.

        Args:
            batch: one element of the data set.

        Returns:
            Terms by name, each a scalar and a mean over the examples; their sum is minimized. And
            whatever `observe` needs.
        """

    def observe(self, batch: Mapping[str, tf.Tensor], outputs: Any) -> dict[str, tf.Tensor]:
        """Scalars by name, each a mean over the examples, for the log. None by default."""
        del batch, outputs
        return {}

    def train(self, num_steps: tf.Tensor) -> dict[str, float]:
        """Takes some steps.

        Returns:
            Means over these steps: `loss`, its terms, `gradient_norm` and what is observed; the
            `learning_rate` of the last step; `ponder_weight` with a controller.

        Raises:
            TrainingDiverged: before anything of the diverged state is written.
        """
        if self._sums is not None:
            self._sums.assign(tf.zeros_like(self._sums))
        count = int(num_steps)
        for _ in range(count):
            self._take_step(next(self._iterator))
        self._check()
        result = dict(zip(self._names, (self._sums.numpy() / count).tolist(), strict=True))
        result["learning_rate"] = float(self._learning_rate(int(self.step) - 1))
        if self._controller is not None:
            result["ponder_weight"] = float(self._controller.ponder_weight)
        return result

    def _step(self, batch):
        """One update; runs once for all replicas of this process."""
        values = self._strategy.run(self._replica_step, (batch,))
        # The same in all replicas.
        values = self._strategy.experimental_local_results(values)[0]
        by_name = dict(zip(self._names, tf.unstack(values), strict=True))
        finite = tf.math.is_finite(by_name["loss"]) & tf.math.is_finite(by_name["gradient_norm"])
        self.step.assign_add(1)
        self._first_bad_step.assign(
            tf.where((self._first_bad_step < 0) & ~finite, self.step, self._first_bad_step)
        )
        if self._controller is not None:
            self._controller.apply(self.model, by_name["flops_ratio"])
        if self._sums is None:
            with tf.init_scope():
                self._sums = tf.Variable(tf.zeros([len(self._names)], tf.float64), trainable=False)
        self._sums.assign_add(tf.cast(values, tf.float64))

    def _replica_step(self, batch):
        """One update, in the context of one replica; returns the mean values of all of them."""
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            parts, outputs = self.losses(batch)
            parts = {name: tf.cast(part, tf.float32) for name, part in parts.items()}
            loss = tf.add_n(list(parts.values()))
            share = loss / replicas
        gradients = tape.gradient(
            share, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        values = {"loss": loss, **parts, **self.observe(batch, outputs)}
        vector = tf.stack([tf.cast(value, tf.float32) for value in values.values()])
        if replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            vector = context.all_reduce(tf.distribute.ReduceOp.MEAN, vector)
        self._names = [*values, "gradient_norm"]
        self._optimizer.apply(gradients, variables)
        return tf.concat([vector, tf.linalg.global_norm(gradients)[tf.newaxis]], axis=0)

    def _check(self):
        bad_step = int(self._first_bad_step)
        if bad_step >= 0:
            raise TrainingDiverged(bad_step, "the loss or its gradient")
        if not bool(self._weights_are_finite()):
            raise TrainingDiverged(int(self.step), "a weight")

    def _check_weights(self):
        finite = [tf.reduce_all(tf.math.is_finite(weight)) for weight in self.model.weights]
        return tf.reduce_all(tf.stack(finite))
