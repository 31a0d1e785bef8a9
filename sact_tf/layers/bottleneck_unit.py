"""Bottleneck residual unit of the ImageNet networks."""

import keras
import tensorflow as tf

from sact_tf.layers.residual_unit import ResidualUnit
from sact_tf.ops.active_rows import count_by_image, sum_by_image
from sact_tf.ops.flops import conv2d_flops
from sact_tf.ops.positions import subsample, zero_outside
from sact_tf.ops.row_convolution import convolve_rows


@keras.saving.register_keras_serializable(package="sact_tf")
class BottleneckUnit(ResidualUnit):
    """Pre-activation unit: 1x1 reduces, 3x3, 1x1 restores four times `filters` channels.

    Every convolution follows a batch normalization and a ReLU; the stride is on the 3x3. Where the
    channels change, the shortcut is a strided 1x1 convolution of the pre-activation, elsewhere the
    (subsampled) input itself.

    Args: see `ResidualUnit`.

    Call arguments:
        inputs: [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]; what is not padding.

    Returns:
        [B, ceil(H / stride), ceil(W / stride), 4 * filters].

    Reference: arXiv:1612.02297, section 2.1; arXiv:1603.05027.
    """

    outer_stride = 1
    reach = 1

    def __init__(self, filters, **kwargs):
        super().__init__(filters, **kwargs)
        self.preact = self._normalization("preact")
        self.shortcut = None
        self.conv1 = self._convolution(filters, 1, "conv1")
        self.bn1 = self._normalization("bn1")
        self.conv2 = self._convolution(filters, 3, "conv2", stride=self.stride)
        self.bn2 = self._normalization("bn2")
        self.conv3 = self._convolution(self.out_channels, 1, "conv3", use_bias=True)

    @property
    def out_channels(self):
        return 4 * self.filters

    def build(self, input_shape):
        self.preact.build(input_shape)
        if input_shape[-1] != self.out_channels:
            self.shortcut = self._convolution(
                self.out_channels, 1, "shortcut", stride=self.stride, use_bias=True
            )
            self.shortcut.build(input_shape)
        shape = input_shape
        for layer in (self.conv1, self.bn1, self.conv2, self.bn2, self.conv3):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=None, valid=None):
        preact = self.activate(self.preact(inputs, training=training, positions=valid))
        if self.shortcut is not None:
            shortcut = self.shortcut(preact)
        else:
            shortcut = subsample(inputs, self.stride)
        return shortcut + self._branch(
            preact, training, valid, outer=valid, inner=subsample(valid, self.stride)
        )

    def residual(self, inputs, training=None, valid=None, outer=None, inner=None):
        """f(x) alone; see `ResidualUnit`. Returns [B, H, W, 4 * filters]."""
        outer = valid if outer is None else outer
        inner = valid if inner is None else inner
        preact = self.activate(self.preact(inputs, training=training, positions=outer))
        return self._branch(preact, training, valid, outer, inner)

    def residual_rows(self, states, rows, batch, training=None):
        """f(x) at the active positions, and its sums; see `ResidualUnit`."""
        preact = self.preact.on_rows(states, self.activate, training)
        reduced = tf.matmul(preact, self.conv1.kernel[0, 0])
        reduced = self.bn1.on_rows(reduced, self.activate, training)
        kernel = tf.convert_to_tensor(self.conv2.kernel)
        spatial = convolve_rows(reduced, kernel, rows.neighbours, rows.num_active)
        hidden = self.bn2.on_rows(spatial, self.activate, training)
        return self._restore_rows(hidden, rows, batch)

    def flops(self, outer, inner):
        """Operations per image, shortcut convolution included; see `ResidualUnit`."""
        in_channels = self.conv1.kernel.shape[2]
        total = conv2d_flops(outer, 1, in_channels, self.filters)
        total += conv2d_flops(inner, 3, self.filters, self.filters)
        total += conv2d_flops(inner, 1, self.filters, self.out_channels)
        if self.shortcut is not None:
            total += conv2d_flops(inner, 1, in_channels, self.out_channels)
        return total

    def _branch(self, preact, training, valid, outer, inner):
        reduced = self.bn1(self.conv1(preact), training=training, positions=outer)
        reduced = zero_outside(self.activate(reduced), valid)
        spatial = self.bn2(self.conv2(reduced), training=training, positions=inner)
        return self.conv3(self.activate(spatial))

    def _restore_rows(self, hidden, rows, batch):
        kernel = tf.convert_to_tensor(self.conv3.kernel)[0, 0]
        bias = tf.convert_to_tensor(self.conv3.bias)
        residual = tf.nn.bias_add(tf.matmul(hidden, kernel), bias)
        # The sum of the residual, from the four times narrower features it is linear in.
        total = sum_by_image(hidden, rows, batch)
        kernel, bias = tf.cast(kernel, total.dtype), tf.cast(bias, total.dtype)
        return residual, tf.matmul(total, kernel) + count_by_image(rows, batch, total.dtype) * bias
