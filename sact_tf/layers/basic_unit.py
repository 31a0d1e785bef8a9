"""Basic residual unit of the CIFAR networks."""

from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers import tuning
from sact_tf.layers.residual_unit import ResidualUnit
from sact_tf.ops.activation import leaky_relu
from sact_tf.ops.active_rows import ActiveRows, sum_by_image
from sact_tf.ops.flops import conv2d_flops
from sact_tf.ops.positions import subsample, times, zero_outside
from sact_tf.ops.row_convolution import convolve_rows
from sact_tf.ops.row_training import convolve_rows_in_training
from sact_tf.ops.static_rows import StaticRows, convolve_at_rows, sum_rows
from sact_tf.ops.windows import cut_windows


@keras.saving.register_keras_serializable(package="sact_tf")
class BasicUnit(ResidualUnit):
    """Pre-activation unit of two 3x3 convolutions; the stride is on the first.

    Where the channels grow, the shortcut is averaged over stride x stride positions and padded
    with zero channels on both sides.

    Args:
        preactivated_shortcut: whether the shortcut reads the pre-activation instead of the input
            (in the authors' CIFAR network: only the first unit of the first block).
        **kwargs: see `ResidualUnit`. `negative_slope` acts twice after the first convolution, as
            in the authors' code, so that its slope there is the square.

    Call arguments and Returns: as `BottleneckUnit`, with `filters` output channels.
    """

    reach = 2

    def __init__(self, filters: int, preactivated_shortcut: bool = False, **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.preactivated_shortcut = preactivated_shortcut
        self.preact = self._normalization("preact")
        self.conv1 = self._convolution(
            filters, 3, "conv1", stride=self.stride, symmetric_padding=False
        )
        self.bn1 = self._normalization("bn1", follows_convolution=True)
        self.conv2 = self._convolution(filters, 3, "conv2", use_bias=True)

    @property
    def out_channels(self) -> int:
        return self.filters

    def build(self, input_shape: tuple) -> None:
        if input_shape[-1] > self.filters or (self.filters - input_shape[-1]) % 2:
            raise ValueError(
                "A basic unit keeps its channels or adds an even number of them, received "
                f"{input_shape[-1]} input channels and filters={self.filters}"
            )
        self.preact.build(input_shape)
        shape = input_shape
        for layer in (self.conv1, self.bn1, self.conv2):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, valid: tf.Tensor | None = None
    ) -> tf.Tensor:
        preact = self.activate(self.preact(inputs, training=training, positions=valid))
        shortcut = self._shortcut(preact if self.preactivated_shortcut else inputs, valid)
        inner = subsample(valid, self.stride)
        return shortcut + self._branch(preact, training, valid, inner)

    def residual(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        valid: tf.Tensor | None = None,
        outer: tf.Tensor | None = None,
        inner: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """f(x) alone; see `ResidualUnit`. Returns [B, H, W, filters]."""
        # The first convolution is evaluated at `outer` but reads beyond it.
        read = valid if outer is None else outer
        preact = self.activate(self.preact(inputs, training=training, positions=read))
        # No batch normalization after the second convolution, so `inner` is not read.
        return self._branch(preact, training, valid, read)

    def residual_rows(
        self,
        active: tf.Tensor,
        ring: tf.Tensor,
        rows: ActiveRows,
        batch: tf.Tensor,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """f(x) at the active positions, and its sums; see `ResidualUnit`."""
        pieces = [tf.concat([active, ring], axis=0)]
        if training:
            # Batch statistics are those of the rows where the first convolution is evaluated.
            sizes = [rows.num_outer, tf.shape(pieces[0])[0] - rows.num_outer]
            pieces = tf.split(pieces[0], sizes, num=2)
        preact = self.preact.on_rows(pieces, self.activate, training)
        first = self._convolve_rows(preact, self.conv1, rows, rows.num_outer, training)
        [first] = self.bn1.on_rows([first], self.activate_twice, training)
        residual = self._convolve_rows([first], self.conv2, rows, rows.num_active, training)
        residual = tf.nn.bias_add(residual, self.conv2.bias_tensor)
        return residual, sum_by_image(residual, rows, batch)

    def residual_at(
        self,
        inputs: tf.Tensor,
        rows: StaticRows,
        training: bool | None = None,
        valid: tf.Tensor | None = None,
        outer: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """f(x) at static rows, and its sums; the first convolution is of the whole map."""
        read = valid if outer is None else outer
        preact = self.activate(self.preact(inputs, training=training, positions=read))
        first = self._first(preact, training, valid, read)
        residual = convolve_at_rows(first, self.conv2.kernel_tensor, rows)
        residual = tf.nn.bias_add(residual, self.conv2.bias_tensor)
        return residual, sum_rows(residual, rows)

    def residual_windows(self, windows: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
        """f(x) in the middle of windows; see `ResidualUnit`."""
        preact = self.activate(self.preact(windows, training=False))
        first = self.conv1.without_padding(times(preact, inside))
        first = self.activate_twice(self.bn1(first, training=False))
        first = times(cut_windows(first, inside, 1), inside[:, 1:-1, 1:-1])
        return cut_windows(self.conv2.without_padding(first), inside, 2)

    def flops(self, outer: tf.Tensor | int, inner: tf.Tensor | int) -> tf.Tensor:
        """Operations per image; see `ResidualUnit`."""
        in_channels = self.conv1.kernel.shape[2]
        return conv2d_flops(outer, 3, in_channels, self.filters) + conv2d_flops(
            inner, 3, self.filters, self.filters
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preactivated_shortcut": self.preactivated_shortcut}

    def activate_twice(self, inputs: tf.Tensor) -> tf.Tensor:
        """The activation applied twice, in one."""
        slope = self.negative_slope
        return leaky_relu(inputs, None if slope is None else slope**2)

    def _convolve_rows(self, pieces, layer, rows, num_outputs, training):
        kernel = layer.kernel_tensor
        if training:
            share = tuning.share_for_map_in_training(self.filters)
            return convolve_rows_in_training(pieces, kernel, rows, num_outputs, share)
        neighbours = rows.neighbours[: tf.shape(pieces[0])[0]]
        return convolve_rows(pieces, kernel, neighbours, num_outputs)

    def _branch(self, preact, training, valid, outer):
        return self.conv2(self._first(preact, training, valid, outer))

    def _first(self, preact, training, valid, outer):
        """What the second convolution reads."""
        first = self.conv1(zero_outside(preact, valid), valid=valid)
        first = self.activate_twice(self.bn1(first, training=training, positions=outer))
        return zero_outside(first, subsample(valid, self.stride))

    def _shortcut(self, inputs, valid):
        if self.stride > 1:
            inputs = self._average(inputs, valid)
        missing = self.filters - inputs.shape[-1]
        if missing:
            inputs = tf.pad(inputs, [[0, 0], [0, 0], [0, 0], [missing // 2, missing // 2]])
        return inputs

    def _average(self, inputs, valid):
        pooled = tf.nn.avg_pool2d(zero_outside(inputs, valid), self.stride, self.stride, "SAME")
        if valid is None:
            return pooled
        # The pool divides by the positions inside the batch's map, not inside the image.
        share = tf.cast(valid, inputs.dtype)[..., tf.newaxis]
        share = tf.nn.avg_pool2d(share, self.stride, self.stride, "SAME")
        return tf.math.divide_no_nan(pooled, share)
