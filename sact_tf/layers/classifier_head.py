"""From features to logits."""

from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers.pooling_head import PoolingHead
from sact_tf.ops.flops import conv2d_flops


@keras.saving.register_keras_serializable(package="sact_tf")
class ClassifierHead(PoolingHead):
    """Batch normalization, activation, global average pool and a 1x1 convolution.

    Args:
        num_classes: number of logits.
        **kwargs: see `PoolingHead`.

    Call arguments:
        inputs: features [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]; what is not padding.

    Returns:
        Logits [B, num_classes], float32 (float64 if the layer is).
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.logits = self._convolution(
            num_classes, 1, "logits", use_bias=True, dtype=self.postnorm.dtype_policy
        )

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.logits.build((None, 1, 1, input_shape[-1]))

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, valid: tf.Tensor | None = None
    ) -> tf.Tensor:
        pooled = self.pooled(inputs, training, valid)
        return self.logits(pooled[:, tf.newaxis, tf.newaxis])[:, 0, 0]

    def flops(self) -> tf.Tensor:
        """Operations per image, an int64 scalar."""
        return conv2d_flops(1, 1, self.logits.kernel.shape[2], self.num_classes)

    def compute_output_spec(
        self, inputs: tf.Tensor, training: bool | None = None, valid: tf.Tensor | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], self.num_classes), self.logits.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}
