"""Batch normalization folded into the convolutions before it, for inference."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sact_tf.layers import BasicUnit, BottleneckUnit
from sact_tf.models.settings import adaptive_blocks

# Where a batch normalization directly follows a convolution. The pre-activations follow a sum, and
# the halting branches fold theirs already.
_PAIRS = {
    BottleneckUnit: (("conv1", "bn1"), ("conv2", "bn2")),
    BasicUnit: (("conv1", "bn1"),),
}


class Shift:
    """What is left of a batch normalization whose scale went into the convolution before it.

    Takes the place of a `sact_tf.layers.batch_normalization.BatchNormalization` in inference.

    Args:
        shift: [channels].
    """

    def __init__(self, shift: np.ndarray):
        self.shift = tf.Variable(shift, trainable=False, name="shift")

    def __call__(
        self, inputs: tf.Tensor, training: bool | None = None, positions: tf.Tensor | None = None
    ) -> tf.Tensor:
        return tf.nn.bias_add(inputs, tf.convert_to_tensor(self.shift))

    def on_rows(
        self,
        pieces: Sequence[tf.Tensor],
        activate: Callable[[tf.Tensor], tf.Tensor],
        training: bool | None = None,
        positions: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        return [activate(self(piece)) for piece in pieces]

    def scale_and_shift(
        self, inputs: tf.Tensor, training: bool | None = None, positions: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.ones_like(self.shift), tf.convert_to_tensor(self.shift)


def folded_copy(
    model: keras.Model, fold: bool = True, dtype: str | None = None
) -> tuple[keras.Model, int]:
    """Copies a model with its batch normalizations folded where that is exact up to round-off.

    Inside residual units conv(x) * scale + shift becomes one convolution with a scaled kernel and a
    bias. Networks that compute in less than the precision of their weights are copied as they are,
    because there the rounding of the scaled kernel would show.

    Args:
        model: an `ImageClassifier`, `ResNetBackbone` or another model that `get_config` describes
            whole.
        fold: false only copies.
        dtype: policy of the copy; None takes the model's.

    Returns:
        `(copy, count)`: a model for inference only, and how many normalizations were folded.
    """
    config: dict[str, Any] = model.get_config()
    if dtype is not None:
        (config["backbone"]["config"] if "backbone" in config else config)["dtype"] = dtype
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    count = 0
    for block in adaptive_blocks(copy):
        for unit in block.units:
            for convolution, normalization in _PAIRS.get(type(unit), ()):
                if fold and unit.compute_dtype == unit.variable_dtype:
                    _fold(unit, convolution, normalization)
                    count += 1
    return copy, count


def _fold(unit, convolution, normalization):
    kernel, layer = getattr(unit, convolution).kernel, getattr(unit, normalization)
    variance = layer.moving_variance.numpy().astype(np.float64)
    scale = layer.gamma.numpy() / np.sqrt(variance + layer.epsilon)
    shift = layer.beta.numpy() - layer.moving_mean.numpy() * scale
    dtype = np.dtype(kernel.dtype)
    kernel.assign((kernel.numpy() * scale).astype(dtype))
    # Past Keras' bookkeeping, which refuses new parts of a layer that is built.
    vars(unit)[normalization] = Shift(shift.astype(dtype))
