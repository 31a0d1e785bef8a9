"""The layers before the first block."""

from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers.convolution import Convolution
from sact_tf.ops import positions
from sact_tf.ops.flops import conv2d_flops, map_positions

KINDS = ("imagenet", "cifar", "keras")


@keras.saving.register_keras_serializable(package="sact_tf")
class Stem(keras.layers.Layer):
    """Root of the network: a convolution with bias, and but for CIFAR a max pool.

    Neither batch normalization nor activation follow: the first pre-activation unit has them.

    Args:
        kind: "imagenet" (7x7 convolution of stride 2, 3x3 max pool of stride 2; stride 4 in all),
            "cifar" (3x3 convolution) or "keras" (as "imagenet", but the pool reads one zero on
            every side of the map, as in the networks of `keras.applications`).
        channels: output channels.
        weight_decay: see `Convolution`.

    Call arguments:
        inputs: images [B, H, W, 3].
        valid: optional bool [B, H, W]; what is not padding.

    Returns:
        [B, ceil(H / stride), ceil(W / stride), channels].
    """

    def __init__(
        self,
        kind: str = "imagenet",
        channels: int = 64,
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"Expected the stem to be one of {KINDS}, received {kind!r}")
        self.kind = kind
        self.channels = channels
        self.weight_decay = weight_decay
        size, stride = (3, 1) if kind == "cifar" else (7, 2)
        self.conv = Convolution(
            channels,
            size,
            stride=stride,
            use_bias=True,
            weight_decay=weight_decay,
            name="conv",
            dtype=self.dtype_policy,
        )

    @property
    def stride(self) -> int:
        """Positions of the image along a side for each of the output."""
        return 1 if self.kind == "cifar" else 4

    def build(self, input_shape: tuple) -> None:
        self.conv.build(input_shape)

    def call(self, inputs: tf.Tensor, valid: tf.Tensor | None = None) -> tf.Tensor:
        features = self.conv(positions.zero_outside(inputs, valid), valid=valid)
        if self.kind == "cifar":
            return features
        if self.kind == "keras":
            features = positions.zero_outside(features, positions.subsample(valid, 2))
            padded = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]])
            pooled = tf.nn.max_pool2d(padded, 3, 2, "VALID")
            return positions.zero_outside(pooled, positions.subsample(valid, 4))
        if valid is None:
            return tf.nn.max_pool2d(features, 3, 2, "SAME")
        valid = positions.subsample(valid, 2)
        lowest = features.dtype.min
        features = tf.where(valid[..., tf.newaxis], features, lowest)
        features = positions.pad_for_stride_two(features, valid, fill=lowest)
        pooled = tf.nn.max_pool2d(features, 3, 2, "VALID")
        return positions.zero_outside(pooled, positions.subsample(valid, 2))

    def flops(
        self, inputs_shape: tf.Tensor | list[int], valid: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Operations per image for images of shape [B, H, W, C]: int64 [B]."""
        stride = self.conv.stride
        batch, height, width, _ = tf.unstack(tf.convert_to_tensor(inputs_shape))
        shape = [batch, *(positions.strided_size(size, stride) for size in (height, width))]
        count = map_positions(shape, positions.subsample(valid, stride))
        in_channels = self.conv.kernel.shape[2]
        return conv2d_flops(count, self.conv.kernel_size[0], in_channels, self.channels)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, _ = input_shape
        strided = [positions.strided_size(size, self.stride) for size in (height, width)]
        return (batch, *strided, self.channels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "channels": self.channels,
            "weight_decay": self.weight_decay,
        }
