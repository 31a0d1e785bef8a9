"""Bottleneck residual unit of the ImageNet networks."""

from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers import tuning
from sact_tf.layers.residual_unit import ResidualUnit
from sact_tf.ops.active_rows import ActiveRows, count_by_image, sum_by_image
from sact_tf.ops.clipped_product import ClippedProduct
from sact_tf.ops.conversion import is_converting, keeps_channels_last
from sact_tf.ops.flops import conv2d_flops
from sact_tf.ops.positions import (
    mean_over,
    subsample,
    subsample_features,
    sum_at,
    times,
    zero_outside,
)
from sact_tf.ops.precision import at_least_float32
from sact_tf.ops.row_convolution import convolve_map, convolve_rows, convolve_rows_on_map
from sact_tf.ops.row_training import convolve_rows_in_training
from sact_tf.ops.static_rows import StaticRows, convolve_at_rows, count_rows, sum_rows
from sact_tf.ops.windows import cut_windows


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

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.preact = self._normalization("preact")
        self.shortcut: Any = None
        self.conv1 = self._convolution(filters, 1, "conv1")
        self.bn1 = self._normalization("bn1", follows_convolution=True)
        self.conv2 = self._convolution(filters, 3, "conv2", stride=self.stride)
        self.bn2 = self._normalization("bn2", follows_convolution=True)
        self.conv3 = self._convolution(self.out_channels, 1, "conv3", use_bias=True)

    @property
    def out_channels(self) -> int:
        return 4 * self.filters

    def build(self, input_shape: tuple) -> None:
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

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, valid: tf.Tensor | None = None
    ) -> tf.Tensor:
        preact = self.activate(self.preact(inputs, training=training, positions=valid))
        if self.shortcut is not None:
            shortcut = self.shortcut(preact)
        else:
            shortcut = subsample_features(inputs, self.stride)
        return shortcut + self._branch(
            preact, training, valid, outer=valid, inner=subsample(valid, self.stride)
        )

    def residual(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        valid: tf.Tensor | None = None,
        outer: tf.Tensor | None = None,
        inner: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """f(x) alone; see `ResidualUnit`. Returns [B, H, W, 4 * filters]."""
        outer = valid if outer is None else outer
        inner = valid if inner is None else inner
        preact = self.activate(self.preact(inputs, training=training, positions=outer))
        return self._branch(preact, training, valid, outer, inner)

    def output_and_mean(
        self, inputs: tf.Tensor, valid: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The unit in inference and its output's mean [B, 4 * filters]; see `ResidualUnit`."""
        inner = subsample(valid, self.stride)
        picked, reduced = self._enter(inputs, valid)
        if self.shortcut is not None:
            shortcut = self.shortcut.at_every_position(picked)
            mean = _linear(mean_over(at_least_float32(picked), inner), self.shortcut)
        else:
            shortcut = subsample_features(inputs, self.stride)
            mean = mean_over(at_least_float32(shortcut), inner)
        hidden = self._convolve(reduced, False, inner, by_products=True)
        mean += _linear(mean_over(at_least_float32(hidden), inner), self.conv3)
        return shortcut + self.conv3(hidden), mean

    def advance(
        self, inputs: tf.Tensor, active: tf.Tensor, valid: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """x + f(x) where active, and the sum of f(x), from its narrower input."""
        preact = self.activate(self.preact(inputs, training=False, positions=valid))
        hidden = self._hidden(preact, False, valid, valid, valid, by_products=True)
        total = sum_at(at_least_float32(hidden), active)
        count = tf.reduce_sum(tf.cast(active, total.dtype), axis=[1, 2])[:, tf.newaxis]
        output = inputs + self.conv3(hidden)  # a sum inside the convolution
        output = tf.cond(
            tf.reduce_all(active),
            lambda: output,
            lambda: tf.where(active[..., tf.newaxis], output, inputs),
        )
        return output, _linear(total, self.conv3, count)

    def residual_rows(
        self,
        active: tf.Tensor,
        ring: tf.Tensor,
        rows: ActiveRows,
        batch: tf.Tensor,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """f(x) at the active positions, and its sums; see `ResidualUnit`."""
        # Batch statistics are those of all rows; inference does without the copy.
        pieces = [tf.concat([active, ring], axis=0)] if training else [active, ring]
        reduced = self._reduce_rows(pieces, training)
        spatial = self._convolve_rows(reduced, rows, training)
        [hidden] = self.bn2.on_rows([spatial], self.activate, training)
        return self._restore_rows(hidden, rows, batch)

    def residual_at(
        self,
        inputs: tf.Tensor,
        rows: StaticRows,
        training: bool | None = None,
        valid: tf.Tensor | None = None,
        outer: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """f(x) at static rows, and its sums; the first convolution is of the whole map."""
        outer = valid if outer is None else outer
        preact = self.activate(self.preact(inputs, training=training, positions=outer))
        reduced = self._reduce(preact, training, valid, outer)
        spatial = convolve_at_rows(reduced, self.conv2.kernel_tensor, rows)
        [hidden] = self.bn2.on_rows([spatial], self.activate, training, rows.held)
        residual = tf.matmul(hidden, self.conv3.kernel_tensor[0, 0])
        total, count = sum_rows(hidden, rows), count_rows(rows)
        total = _linear(total, self.conv3, tf.cast(count, total.dtype))
        return tf.nn.bias_add(residual, self.conv3.bias_tensor), total

    def residual_windows(self, windows: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
        """f(x) in the middle of windows; see `ResidualUnit`."""
        reduced = self.conv1(self.activate(self.preact(windows, training=False)))
        reduced = self.activate(self.bn1(reduced, training=False))
        spatial = self.conv2.without_padding(times(reduced, inside))
        hidden = cut_windows(self.activate(self.bn2(spatial, training=False)), inside, 1)
        return self.conv3(hidden)

    def flops(self, outer: tf.Tensor | int, inner: tf.Tensor | int) -> tf.Tensor:
        """Operations per image, shortcut convolution included; see `ResidualUnit`."""
        in_channels = self.conv1.kernel.shape[2]
        total = conv2d_flops(outer, 1, in_channels, self.filters)
        total += conv2d_flops(inner, 3, self.filters, self.filters)
        total += conv2d_flops(inner, 1, self.filters, self.out_channels)
        if self.shortcut is not None:
            total += conv2d_flops(inner, 1, in_channels, self.out_channels)
        return total

    def _branch(self, preact, training, valid, outer, inner):
        return self.conv3(self._hidden(preact, training, valid, outer, inner))

    def _hidden(self, preact, training, valid, outer, inner, by_products=False):
        reduced = self._reduce(preact, training, valid, outer)
        return self._convolve(reduced, training, inner, by_products)

    def _enter(self, inputs, valid):
        """In inference, the pre-activation at the outputs' positions and the reduced features."""
        if keeps_channels_last():
            picked = self.preact(subsample_features(inputs, self.stride), training=False)
            [reduced] = self._reduce_rows([tf.reshape(inputs, [-1, inputs.shape[-1]])], False)
            shape = tf.concat([tf.shape(inputs)[:3], [self.filters]], axis=0)
            return self.activate(picked), tf.reshape(reduced, shape)
        preact = self.activate(self.preact(inputs, training=False, positions=valid))
        reduced = self._reduce(preact, False, valid, valid)
        return subsample_features(preact, self.stride), reduced

    def _reduce(self, preact, training, valid, outer):
        reduced = self.bn1(self.conv1(preact), training=training, positions=outer)
        return zero_outside(self.activate(reduced), valid)

    def _convolve(self, reduced, training, inner, by_products):
        if by_products and self.filters >= tuning.PRODUCT_FILTERS:
            spatial = convolve_map(reduced, self.conv2.kernel_tensor, self.stride)
        else:
            spatial = self.conv2(reduced)
        return self.activate(self.bn2(spatial, training=training, positions=inner))

    def _reduce_rows(self, pieces, training):
        kernel = self.conv1.kernel_tensor[0, 0]
        if is_converting():
            before, after = (n.scale_and_shift(pieces[0]) for n in (self.preact, self.bn1))
            product = ClippedProduct.of(before, kernel, after, self.preact.rises)
            return [self.activate(product(piece)) for piece in pieces]
        preact = self.preact.on_rows(pieces, self.activate, training)
        reduced = [tf.matmul(piece, kernel) for piece in preact]
        return self.bn1.on_rows(reduced, self.activate, training)

    def _convolve_rows(self, reduced, rows, training):
        kernel = self.conv2.kernel_tensor

        def gathered():
            return convolve_rows(reduced, kernel, rows.neighbours, rows.num_active)

        if training:
            share = tuning.share_for_map_in_training(self.filters)
            return convolve_rows_in_training(reduced, kernel, rows, rows.num_active, share)
        limit = tuning.share_for_map(self.filters)
        if limit >= 1 or is_converting():
            return gathered()
        share = tf.size(rows.active_positions) / tf.size(rows.row_numbers)
        return tf.cond(
            share > limit,
            lambda: convolve_rows_on_map(reduced, kernel, rows),
            gathered,
        )

    def _restore_rows(self, hidden, rows, batch):
        residual = tf.matmul(hidden, self.conv3.kernel_tensor[0, 0])
        residual = tf.nn.bias_add(residual, self.conv3.bias_tensor)
        total = sum_by_image(hidden, rows, batch)
        return residual, _linear(total, self.conv3, count_by_image(rows, batch, total.dtype))


def _linear(features, layer, count=1):
    """A 1x1 convolution's sum (count 1: its mean), from that of its narrower input, [B, C]."""
    kernel = tf.cast(layer.kernel_tensor[0, 0], features.dtype)
    return tf.matmul(features, kernel) + count * tf.cast(layer.bias, features.dtype)
