"""What the layers of the networks share: their activation, convolutions and normalizations."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers.batch_normalization import BatchNormalization
from sact_tf.layers.convolution import Convolution
from sact_tf.ops.activation import leaky_relu


class NetworkLayer(keras.layers.Layer):
    """Base of layers that are composed of `Convolution` and `BatchNormalization`.

    Args:
        negative_slope: slope of the leaky ReLU for negative inputs; 0 is the plain ReLU, None no
            activation at all.
        weight_decay: of all convolutions, see `Convolution`.
        batch_norm: dict of arguments of `BatchNormalization` (epsilon, momentum, synchronized,
            fused).
    """

    def __init__(
        self,
        negative_slope: float | None = 0.0,
        weight_decay: float = 0.0,
        batch_norm: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.negative_slope = negative_slope
        self.weight_decay = weight_decay
        self.batch_norm = dict(batch_norm or {})

    def activate(self, inputs: tf.Tensor) -> tf.Tensor:
        """The activation; see `negative_slope`."""
        return leaky_relu(inputs, self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "negative_slope": self.negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }

    def _normalization(self, name: str, **kwargs: Any) -> BatchNormalization:
        return BatchNormalization(
            name=name, **{"dtype": self.dtype_policy, **self.batch_norm, **kwargs}
        )

    def _convolution(self, filters: int, size: int, name: str, **kwargs: Any) -> Convolution:
        return Convolution(
            filters,
            size,
            weight_decay=self.weight_decay,
            name=name,
            **{"dtype": self.dtype_policy, **kwargs},
        )
