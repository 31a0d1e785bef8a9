"""The inner training loop of all programs: gradients, update, checks, on any number of replicas."""

import abc
from collections.abc import Iterable, Mapping
from typing import Any

import orbit
import tensorflow as tf

from sact_tf.models import set_ponder_weight
from sact_tf.training.config.sections import TrainConfig
from sact_tf.training.errors import TrainingDiverged
from sact_tf.training.loop.preemption import Preemption
from sact_tf.training.loop.state import TrainingState


class Trainer(orbit.AbstractTrainer, abc.ABC):
    """Minimizes a sum of losses by the mean gradient over the batch.

    A subclass says what the losses of a batch are (`losses`) and what else is worth a mean over the
    log interval (`observe`). It never sees how the batch is shared: each replica gets an equal
    part, all terms are means over examples, and the gradients' mean over the replicas is the
    gradient of the whole batch.

    Args:
        config: the section `train`.
        state: what is trained.
        batches: elements for `strategy.run`, endless; see `input_distribution`. A step takes
            `gradient_accumulation` of them, one after the other.
        preemption: asked after each step whether to stop.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: TrainingState,
        batches: Iterable[Any],
        preemption: Preemption | None = None,
    ):
        super().__init__(name="trainer")
        self.model = state.model
        self.step = state.step
        self._state = state
        self._iterator = iter(batches)
        self._accumulation = config.gradient_accumulation
        self._clip_norm = config.gradient_clip_norm
        self._preemption = preemption or Preemption()
        self._strategy = tf.distribute.get_strategy()
        if state.controller is not None:
            # A restored controller has moved on from the config's tau.
            set_ponder_weight(self.model, state.controller.ponder_weight)
        self._statistics_differ = self._strategy.num_replicas_in_sync > 1 and not all(
            getattr(layer, "synchronized", True) for layer in self.model._flatten_layers()
        )
        self._names: list[str] = []
        # -1 while everything is finite. A check per step inside the loop; read once per loop.
        self._first_bad_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._take_step = tf.function(self._step, reduce_retracing=True, autograph=False)
        self._weights_are_finite = tf.function(self._check_weights, autograph=False)
        self._share_statistics = tf.function(self._mean_statistics, autograph=False)

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
            `learning_rate` of the last step; `ponder_weight` with a controller; and what
            `Throughput.end` gives.

        Raises:
            TrainingDiverged: before anything of the diverged state is written.
            Preempted: the process was asked to stop; the state is that after a whole step.
        """
        throughput, count = self._state.throughput, int(num_steps)
        throughput.begin()
        stop, sums = False, tf.zeros([], tf.float64)
        with self._preemption.deferred():
            for _ in range(count):
                with throughput.waiting():
                    batches = [next(self._iterator) for _ in range(self._accumulation)]
                agreed, values = self._take_step(batches, tf.constant(self._preemption.requested))
                sums += values
                throughput.count_step()
                # Workers must stop after the same step, so they ask each other.
                stop = bool(agreed) if self._is_cluster else self._preemption.requested
                if stop:
                    break
            bad_step = int(self._first_bad_step.numpy())  # waits for the devices
            timing = throughput.end()
            self._check(bad_step)
        if self._statistics_differ:
            self._share_statistics()
        if stop:
            raise self._preemption.kind
        result = dict(zip(self._names, (sums.numpy() / count).tolist(), strict=True))
        result["learning_rate"] = float(self._state.learning_rate(int(self.step.numpy()) - 1))
        if self._state.controller is not None:
            result["ponder_weight"] = float(self._state.controller.ponder_weight)
        return {**result, **timing}

    @property
    def _is_cluster(self) -> bool:
        return isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def _step(self, batches, stop):
        """One update; runs once for all replicas of this process.

        Returns:
            bool scalar, whether any worker was asked to stop; float64 vector, what `self._names`
            says.
        """
        with self._strategy.scope():
            values = self._strategy.run(self._replica_step, (batches, stop))
            # The same in all replicas.
            values = self._strategy.experimental_local_results(values)[0]
            stops, values = values[0], values[1:]
            by_name = dict(zip(self._names, tf.unstack(values), strict=True))
            norm = by_name["gradient_norm"]
            finite = tf.math.is_finite(by_name["loss"]) & tf.math.is_finite(norm)
            self.step.assign_add(1)
            self._first_bad_step.assign(
                tf.where((self._first_bad_step < 0) & ~finite, self.step, self._first_bad_step)
            )
            if self._state.controller is not None:
                self._state.controller.apply(self.model, by_name["flops_ratio"])
            if self._state.average is not None:
                self._state.average.update(self.step)
        return stops > 0, tf.cast(values, tf.float64)

    def _replica_step(self, batches, stop):
        """One update, in the context of one replica.

        Returns:
            float32 vector, the same in all replicas: how many were asked to stop (as a share), and
            the means of what `self._names` says.
        """
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        gradients, values = self._gradients(batches)
        names = list(values)
        vector = tf.stack([tf.cast(stop, tf.float32), *values.values()])
        if replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients = [gradient / replicas for gradient in gradients]
            vector = context.all_reduce(tf.distribute.ReduceOp.SUM, vector) / replicas
        norm = tf.linalg.global_norm(gradients)
        if self._clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm, use_norm=norm)
        self._names = [*names, "gradient_norm"]
        self._state.optimizer.apply(gradients, self.model.trainable_variables)
        return tf.concat([vector, norm[tf.newaxis]], axis=0)

    def _gradients(self, batches):
        """Means over the parts of a batch: gradients, and scalars by name."""
        variables = self.model.trainable_variables
        gradients, values = None, None
        for batch in batches:
            if gradients is not None:
                # Not before the part before is done: its memory is what accumulation saves.
                with tf.control_dependencies(gradients):
                    batch = tf.nest.map_structure(tf.identity, batch)
            with tf.GradientTape() as tape:
                parts, outputs = self.losses(batch)
                parts = {name: tf.cast(part, tf.float32) for name, part in parts.items()}
                loss = tf.add_n(list(parts.values()))
            new = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            new_values = {"loss": loss, **parts, **self.observe(batch, outputs)}
            new_values = {name: tf.cast(value, tf.float32) for name, value in new_values.items()}
            if gradients is not None:
                new = [total + gradient for total, gradient in zip(gradients, new, strict=True)]
                new_values = {name: values[name] + value for name, value in new_values.items()}
            gradients, values = new, new_values
        count = len(batches)
        if count > 1:
            gradients = [gradient / count for gradient in gradients]
            values = {name: value / count for name, value in values.items()}
        return gradients, values

    def _check(self, bad_step):
        if bad_step >= 0:
            raise TrainingDiverged(
                f"the loss or its gradient is NaN or infinite at step {bad_step}"
            )
        if not bool(self._weights_are_finite()):
            raise TrainingDiverged(f"a weight is NaN or infinite at step {int(self.step.numpy())}")

    def _check_weights(self):
        finite = [tf.reduce_all(tf.math.is_finite(weight)) for weight in self.model.weights]
        return tf.reduce_all(tf.stack(finite))

    def _mean_statistics(self):
        """Gives all replicas the mean of their moving statistics, and of the averages of these.

        Without synchronized batch normalization each replica moves its own. They are linear in the
        batches' statistics, so a mean now and then is the mean after every step.
        """
        statistics = [
            variable.value
            for variable in self.model.non_trainable_variables
            if tf.as_dtype(variable.dtype).is_floating
        ]
        if self._state.average is not None:
            statistics += self._state.average.averages.values()

        def share():
            context = tf.distribute.get_replica_context()
            # Copies: what is read has no device by itself that the reduction could go to.
            own = [tf.identity(variable) for variable in statistics]
            totals = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
            for variable, total in zip(statistics, totals, strict=True):
                variable.assign(total / context.num_replicas_in_sync)

        self._strategy.run(share)
