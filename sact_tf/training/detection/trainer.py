"""What a detector is trained for."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from sact_tf.training.loop.trainer import Trainer


class DetectionTrainer(Trainer):
    """Minimizes the sum of `FasterRCNN.losses_for`.

    Its arguments are those of `Trainer`; the batches are those of a `DetectionData`.
    """

    def losses(self, batch: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], Any]:
        return self.model.losses_for(
            batch["image"],
            batch["valid"],
            batch["boxes"],
            batch["classes"],
            batch["crowd"],
            training=True,
            sampling_step=self.step,
        )

    def observe(self, batch: Mapping[str, tf.Tensor], outputs: Any) -> dict[str, tf.Tensor]:
        del batch
        result = {"extractor_flops": tf.reduce_mean(tf.cast(outputs["flops"], tf.float32))}
        for block, halting in outputs["halting"].items():
            # The first unit is computed everywhere but in the padding.
            positions = tf.reduce_sum(tf.cast(halting["num_units"] > 0, tf.float32))
            for key in ("num_units", "ponder_cost"):
                total = tf.reduce_sum(tf.cast(halting[key], tf.float32))
                result[f"{key}/{block}"] = total / positions
        return result
