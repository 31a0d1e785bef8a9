"""2D convolution with the padding of the authors' networks, also inside padded batches."""

from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers.keras_settings import check_keras_settings
from sact_tf.ops import positions
from sact_tf.ops.conversion import keeps_channels_last


@keras.saving.register_keras_serializable(package="sact_tf")
class Convolution(keras.layers.Conv2D):
    """Convolution whose result for an image does not depend on padding at its bottom and right.

    Args:
        filters: output channels.
        kernel_size: k, odd.
        stride: 1 or 2.
        symmetric_padding: how a strided convolution pads. True: (k - 1) / 2 on every side, then
            VALID (the ImageNet networks). False: TensorFlow's SAME, which pads by the parity of
            the size (the CIFAR networks).
        use_bias: whether to add a bias.
        weight_decay: the loss `weight_decay * sum(kernel**2) / 2` is added.
        bias_initializer: value or initializer of the bias.

    Call arguments:
        inputs: [B, H, W, C], zero where not valid (for k > 1).
        valid: optional bool [B, H, W], needed where SAME must be aligned image by image.

    Returns:
        [B, ceil(H / stride), ceil(W / stride), filters].
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        symmetric_padding: bool = True,
        use_bias: bool = False,
        weight_decay: float = 0.0,
        bias_initializer: str | keras.initializers.Initializer = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides=stride,
            padding="same",
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            kernel_initializer=keras.initializers.VarianceScaling(
                scale=2.0, mode="fan_in", distribution="truncated_normal"
            ),
            # Keras' L2(x) is x * sum(w**2), without the half.
            kernel_regularizer=keras.regularizers.L2(weight_decay / 2) if weight_decay else None,
            **kwargs,
        )
        check_keras_settings(self.dtype_policy)
        self.stride = stride
        self.symmetric_padding = symmetric_padding
        self.weight_decay = weight_decay

    @property
    def kernel_tensor(self) -> tf.Tensor:
        """The kernel [k, k, C, filters], in the compute dtype of the layer that is called."""
        return tf.convert_to_tensor(self.kernel)

    @property
    def bias_tensor(self) -> tf.Tensor:
        """The bias [filters], likewise."""
        return tf.convert_to_tensor(self.bias)

    def add_weight(self, **kwargs: Any) -> keras.Variable:
        # Rows are convolved inside another layer's call, whose dtype a variable would follow.
        return super().add_weight(autocast=self.compute_dtype != self.variable_dtype, **kwargs)

    def call(self, inputs: tf.Tensor, valid: tf.Tensor | None = None) -> tf.Tensor:
        size = self.kernel_size[0]
        padding = "SAME"
        if self.stride > 1 and size > 1:
            if self.symmetric_padding:
                border = [(size - 1) // 2] * 2
                inputs = tf.pad(inputs, [[0, 0], border, border, [0, 0]])
                padding = "VALID"
            elif valid is not None:
                inputs = positions.pad_for_stride_two(inputs, valid)
                padding = "VALID"
        return self._convolve(inputs, self.stride, padding)

    def at_every_position(self, inputs: tf.Tensor) -> tf.Tensor:
        """The convolution without its stride: [B, H, W, C] -> [B, H, W, filters]."""
        return self._convolve(inputs, 1, "SAME")

    def without_padding(self, inputs: tf.Tensor) -> tf.Tensor:
        """The convolution where all it reads is there: [B, H, W, C] -> [B, H - k + 1, ...]."""
        return self._convolve(inputs, 1, "VALID")

    def _convolve(self, inputs, stride, padding):
        if keeps_channels_last() and stride == 1 and self.kernel_size == (1, 1):
            return self._product(inputs)
        if inputs.shape[0] == 0:  # oneDNN gives no image back in the shape in which it came
            one = tf.pad(inputs, [[0, 1], [0, 0], [0, 0], [0, 0]])
            return self._convolve(one, stride, padding)[:0]
        outputs = tf.nn.conv2d(inputs, self.kernel_tensor, stride, padding)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias_tensor)
        return outputs

    def _product(self, inputs):
        rows = tf.reshape(inputs, [-1, inputs.shape[-1]])
        outputs = tf.matmul(rows, self.kernel_tensor[0, 0])
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias_tensor)
        return tf.reshape(outputs, tf.concat([tf.shape(inputs)[:3], [self.filters]], axis=0))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, _ = input_shape
        strided = [positions.strided_size(size, self.stride) for size in (height, width)]
        return (batch, *strided, self.filters)

    def get_config(self) -> dict[str, Any]:
        base = keras.layers.Layer.get_config(self)
        return {
            **base,
            "filters": self.filters,
            "kernel_size": self.kernel_size[0],
            "stride": self.stride,
            "symmetric_padding": self.symmetric_padding,
            "use_bias": self.use_bias,
            "weight_decay": self.weight_decay,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
