"""The part that the heads of classifiers and detectors share."""

from typing import Any

import tensorflow as tf

from sact_tf.layers.network_layer import NetworkLayer
from sact_tf.ops.positions import mean_over
from sact_tf.ops.precision import sum_dtype


class PoolingHead(NetworkLayer):
    """Base of heads: batch normalization, activation and global mean, in float32 or float64.

    Args:
        pools_first: mean before the batch normalization (CIFAR networks), not after the activation
            (ImageNet networks).
        **kwargs: see `NetworkLayer`.
    """

    def __init__(self, pools_first: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pools_first = pools_first
        self.postnorm = self._normalization("postnorm", dtype=sum_dtype(self.compute_dtype).name)

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        self.postnorm.build((None, channels) if self.pools_first else (None, None, None, channels))

    def pooled(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        valid: tf.Tensor | None = None,
        counted: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """One vector per map.

        Args:
            inputs: features [B, H, W, C].
            training: whether batch normalization uses the statistics of this batch.
            valid: optional bool [B, H, W]; what is not padding.
            counted: optional bool [B]; the maps that enter the statistics, with all positions.

        Returns:
            [B, C], float32 (float64 if the layer is).
        """
        features = tf.cast(inputs, self.postnorm.compute_dtype)
        if self.pools_first:
            pooled = mean_over(features, valid)
            return self.activate(self.postnorm(pooled, training=training, positions=counted))
        positions = valid
        if counted is not None:
            positions = counted[:, tf.newaxis, tf.newaxis]
            positions = tf.broadcast_to(positions, tf.shape(features)[:3])
        features = self.postnorm(features, training=training, positions=positions)
        return mean_over(self.activate(features), valid)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pools_first": self.pools_first}
