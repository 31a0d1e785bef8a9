"""What a classifier is trained for."""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from sact_tf.models import weight_decay_loss
from sact_tf.training.config.sections import TrainConfig
from sact_tf.training.loop.preemption import Preemption
from sact_tf.training.loop.state import TrainingState
from sact_tf.training.loop.trainer import Trainer


class ClassificationTrainer(Trainer):
    """Minimizes cross entropy + ponder loss + weight decay.

    Args:
        config: the section `train`.
        state: what is trained; the model is an `ImageClassifier`.
        batches: see `Trainer`; they have `image` and `label`.
        image_size: (height, width) of the images in pixels.
        preemption: see `Trainer`.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: TrainingState,
        batches: Iterable[Any],
        image_size: tuple[int, int],
        preemption: Preemption | None = None,
    ):
        super().__init__(config, state, batches, preemption)
        self._label_smoothing = config.label_smoothing
        self._plain_flops = self.model.plain_flops(*image_size)

    def losses(self, batch: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], Any]:
        outputs = self.model.forward(batch["image"], training=True)
        entropies = cross_entropy(outputs["logits"], batch["label"], self._label_smoothing)
        return {
            "cross_entropy": tf.reduce_mean(entropies),
            "ponder_loss": outputs["ponder_loss"],
            "weight_decay": weight_decay_loss(self.model),
        }, outputs

    def observe(self, batch: Mapping[str, tf.Tensor], outputs: Any) -> dict[str, tf.Tensor]:
        predictions = tf.argmax(outputs["logits"], axis=-1, output_type=tf.int32)
        result = {
            "accuracy": _mean(tf.equal(predictions, batch["label"])),
            "flops_ratio": _mean(tf.cast(outputs["flops"], tf.float64) / self._plain_flops),
        }
        for block, halting in outputs["halting"].items():
            result[f"num_units/{block}"] = _mean(halting["num_units"])
            result[f"ponder_cost/{block}"] = _mean(halting["ponder_cost"])
        return result


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross entropy with the target smoothed over all classes, in nats.

    Args:
        logits: [B, classes].
        labels: int [B].
        label_smoothing: share of the target that is spread evenly over the classes.

    Returns:
        float32 [B].
    """
    num_classes = logits.shape[-1]
    logits = tf.cast(logits, tf.float32)
    if not label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    targets = tf.one_hot(
        labels,
        num_classes,
        on_value=1.0 - label_smoothing + label_smoothing / num_classes,
        off_value=label_smoothing / num_classes,
    )
    return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def _mean(values):
    return tf.reduce_mean(tf.cast(values, tf.float32))
