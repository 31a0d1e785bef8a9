"""What a classifier is trained for."""

import tensorflow as tf

from sact_tf.models import weight_decay_loss
from sact_tf.training.loop.trainer import Trainer


class ClassificationTrainer(Trainer):
    """Minimizes cross entropy + ponder loss + weight decay.

    Args:
        image_size: (height, width) of the images in pixels.
        label_smoothing: share of the target spread evenly over the classes.
        **kwargs: see `Trainer`; the model is an `ImageClassifier`, the batches have `image` and
            `label`.
    """

    def __init__(self, *, image_size, label_smoothing: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self._label_smoothing = label_smoothing
        self._plain_flops = self.model.plain_flops(*image_size)

    def losses(self, batch):
        outputs = self.model.forward(batch["image"], training=True)
        entropies = cross_entropy(outputs["logits"], batch["label"], self._label_smoothing)
        return {
            "cross_entropy": tf.reduce_mean(entropies),
            "ponder_loss": outputs["ponder_loss"],
            "weight_decay": weight_decay_loss(self.model),
        }, outputs

    def observe(self, batch, outputs):
        predictions = tf.argmax(outputs["logits"], axis=-1, output_type=tf.int32)
        result = {
            "accuracy": _mean(tf.equal(predictions, batch["label"])),
            "flops_ratio": _mean(tf.cast(outputs["flops"], tf.float64) / self._plain_flops),
        }
        for block, halting in outputs["halting"].items():
            result[f"num_units/{block}"] = _mean(halting["num_units"])
            result[f"ponder_cost/{block}"] = _mean(halting["ponder_cost"])
        return result


def cross_entropy(logits, labels, label_smoothing: float = 0.0):
    """Cross entropy per image [B], with the target smoothed over all classes."""
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
