"""`fit` and `evaluate` of a detector."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf


class GroundTruthTraining(keras.Model):
    """Base class: a model with `losses_for` trains on batches of images and ground truth.

    Attributes:
        losses_for: see `FasterRCNN`.
    """

    losses_for: Callable[..., tuple[dict[str, tf.Tensor], dict[str, Any]]]
    _loss_means: dict[str, keras.metrics.Mean]  # One for each term of the loss.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Keras' `compile` for a model that has its losses and terms itself.

        Args:
            optimizer, **kwargs: as in Keras.
            loss, loss_weights, metrics, weighted_metrics: None.

        Raises:
            ValueError: one of these is given.
        """
        given = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"Expected compile without {name}: a detector has its own losses, whose terms "
                    "fit logs, and its boxes are judged after training "
                    "(sact_tf.detection.evaluation); "
                    f"received {name}={value!r}"
                )
        super().compile(optimizer, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        batch = _batch_of(data)
        with tf.GradientTape() as tape:
            loss = self._compute_loss(x=batch, training=True)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_weights
        self.optimizer.apply_gradients(
            zip(tape.gradient(scaled, variables), variables, strict=True)
        )
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        self._compute_loss(x=_batch_of(data), training=False)
        return self.get_metrics_result()

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras would average the first batch over the replicas to build from it, which boolean maps
        # do not allow. Only the optimizer is not built yet.
        del iterator, data_batch
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """This replica's share of the loss on a batch `x` of images and ground truth."""
        del y, y_pred, sample_weight
        images = x["image"]
        losses, _ = self.losses_for(
            images, x.get("valid"), x["boxes"], x["classes"], x.get("crowd"), training
        )
        total, size = tf.add_n(list(losses.values())), tf.shape(images)[0]
        self._loss_tracker.update_state(total, sample_weight=size)
        for part, value in losses.items():
            self._loss_means[part].update_state(value, sample_weight=size)
        return total / tf.distribute.get_strategy().num_replicas_in_sync


def _batch_of(data):
    """The dict of images and ground truth that `fit` was given."""
    batch, *more = data if isinstance(data, tuple | list) else (data,)
    if not isinstance(batch, Mapping) or any(each is not None for each in more):
        raise ValueError(
            "Expected batches of one dict with image, boxes and classes (and valid and crowd), as "
            "fit(dataset) or fit({'image': ..., 'boxes': ..., 'classes': ...}), without y and "
            f"sample_weight; received {_shown(data)}"
        )
    missing = [key for key in ("image", "boxes", "classes") if key not in batch]
    if missing:
        raise ValueError(f"Expected batches with image, boxes and classes; {missing} are missing")
    return batch


def _shown(data):
    """What a batch consists of, in words."""
    if isinstance(data, tuple | list):
        return "(" + ", ".join(map(_shown, data)) + ")"
    if isinstance(data, Mapping):
        return f"a dict with {', '.join(map(str, data))}"
    return "None" if data is None else "a tensor"
