"""Keras callbacks that change tau while `fit` runs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from sact_tf.budget.controller import BudgetController
from sact_tf.budget.flops_share import FlopsShare, check_budget
from sact_tf.models.settings import adaptive_blocks, set_ponder_weight

_UNKNOWN_LENGTH_HORIZON = 100


class FlopsBudget(keras.callbacks.Callback):
    """Steers the model to a share of the plain network's FLOPs.

    Every few batches the FLOPs are measured on `images`, in inference mode, and `BudgetController`
    answers: with tau, and with a shift of the halting biases. Each epoch logs `ponder_weight` and
    `flops_ratio` as they stand at its end.

    Args:
        flops_ratio: the budget, such as 0.6.
        images: what FLOPs are measured on: a batch of preprocessed training images, or another form
            that `FlopsShare` takes. A hundred images are enough; they are run each time.
        every: batches between two measurements.
        horizon: see `BudgetController`, in batches; a twentieth of the training unless given.

    Raises:
        ValueError: when training begins, for a budget out of reach (with the range) or a model
            without halting.

    Example:
        >>> import numpy as np
        >>> import sact_tf
        >>> backbone = sact_tf.models.ResNetBackbone.cifar(units_per_block=2, halting="sact")
        >>> model = sact_tf.models.ImageClassifier(backbone, num_classes=10)
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> images = np.random.default_rng(0).normal(size=[8, 16, 16, 3]).astype("float32")
        >>> budget = sact_tf.budget.FlopsBudget(0.7, images=images)
        >>> history = model.fit(images, np.arange(8), callbacks=[budget], verbose=0)
        >>> "flops_ratio" in history.history
        True
    """

    def __init__(
        self, flops_ratio: float, images: Any, every: int = 5, horizon: float | None = None
    ):
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"Expected every to be a positive int, received {every!r}")
        self.flops_ratio = flops_ratio
        self.images = images
        self.every = every
        self.horizon = horizon
        self._share: FlopsShare | None = None
        self._controller: BudgetController | None = None
        self._batches = 0
        self._latest: dict[str, float] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        measure = self._share = FlopsShare(self.model)
        share = measure(self.images)
        check_budget(measure, self.flops_ratio, measure.sizes)
        if self._controller is None:
            tau = float(adaptive_blocks(self.model)[0].ponder_weight)
            self._controller = BudgetController(
                self.flops_ratio,
                ponder_weight=tau or BudgetController.LEAST_START,
                horizon=max(1.0, (self.horizon or self._default_horizon()) / self.every),
            )
        self._latest = {
            "flops_ratio": share,
            "ponder_weight": float(adaptive_blocks(self.model)[0].ponder_weight),
        }

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches += 1
        if self._batches % self.every or self._share is None or self._controller is None:
            return
        share = self._share(self.images)
        action = self._controller.apply(self.model, share)
        self._latest = {"flops_ratio": share, "ponder_weight": float(action.ponder_weight)}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs.update(self._latest)

    def _default_horizon(self):
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if not steps or not epochs:
            return _UNKNOWN_LENGTH_HORIZON
        return steps * epochs / BudgetController.HORIZONS_PER_TRAINING


class PonderWeightSchedule(keras.callbacks.Callback):
    """Sets tau before every batch by a schedule. Each epoch logs `ponder_weight`.

    Args:
        schedule: function of the number of steps that the optimizer has done, returning tau; any
            `keras.optimizers.schedules.LearningRateSchedule` will do.
    """

    def __init__(self, schedule: Callable[[int], Any]):
        super().__init__()
        if not callable(schedule):
            raise ValueError(
                f"Expected schedule to be a function of the step, received {schedule!r}"
            )
        self.schedule = schedule
        self._tau: float | None = None

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        self._tau = float(np.asarray(keras.ops.convert_to_numpy(self.schedule(step))))
        set_ponder_weight(self.model, self._tau)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None and self._tau is not None:
            logs["ponder_weight"] = self._tau
