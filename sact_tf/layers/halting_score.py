"""Halting scores of ACT and SACT."""

from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers import tuning
from sact_tf.layers.network_layer import NetworkLayer
from sact_tf.ops.active_rows import ActiveRows, count_by_image
from sact_tf.ops.conversion import is_converting, keeps_channels_last
from sact_tf.ops.devices import in_xla, on_cpu
from sact_tf.ops.flops import conv2d_flops
from sact_tf.ops.positions import mean_over, times, zero_outside
from sact_tf.ops.precision import sum_dtype
from sact_tf.ops.row_convolution import (
    sum_neighbour_columns,
    sum_neighbour_rows,
    sum_neighbours,
    sum_neighbours_by_convolutions,
)
from sact_tf.ops.row_training import sum_neighbour_rows_in_training
from sact_tf.ops.windows import WindowGrid, Windows, cut_windows

KINDS = ("act", "sact")


@keras.saving.register_keras_serializable(package="sact_tf")
class HaltingScore(NetworkLayer):
    """Halting score h of every image (ACT) or every position (SACT).

    ACT:  h = sigmoid(W bn(mean(x)) + b)                                   (eq. 6)
    SACT: h = sigmoid(conv3x3(bn_local(x)) + W bn_global(mean(x)) + b)     (eq. 14)

    Computes in float32 whatever the dtype around it (float64 stays float64).

    Args:
        kind: "act" or "sact".
        bias: initial bias b; -3 starts with about 21 units (section 4).
        negative_slope: leaky ReLU after the batch normalizations; None for no activation (the
            ImageNet networks).
        **kwargs: `weight_decay` and `batch_norm`, see `NetworkLayer`.

    Call arguments:
        inputs: the unit's output [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]; what is not padding.
        positions: optional bool [B, H, W]; where the batch statistics are taken, `valid` if None.
            The global ones are taken over the images that have any such position.
        mean: optional [B, C], the mean of each image, where it is known already.

    Returns:
        [B, 1, 1] for ACT, [B, H, W] for SACT, in [0, 1], float32 or float64.

    Reference: arXiv:1612.02297.
    """

    def __init__(
        self,
        kind: str,
        bias: float = -3.0,
        negative_slope: float | None = None,
        **kwargs: Any,
    ) -> None:
        policy = keras.dtype_policies.get(kwargs.pop("dtype", None) or "float32")
        dtype = sum_dtype(policy.compute_dtype).name
        super().__init__(negative_slope=negative_slope, dtype=dtype, **kwargs)
        if kind not in KINDS:
            raise ValueError(f"Expected kind to be one of {KINDS}, received kind={kind!r}")
        self.kind = kind
        self.bias = bias
        constant = keras.initializers.Constant(bias)
        self.local_bn: Any = None
        self.local_conv: Any = None
        if kind == "sact":
            self.local_bn = self._normalization("local_bn")
            self.local_conv = self._convolution(
                1, 3, "local_conv", use_bias=True, bias_initializer=constant
            )
        self.global_bn = self._normalization("global_bn")
        self.global_conv = self._convolution(
            1, 1, "global_conv", use_bias=kind == "act", bias_initializer=constant
        )

    def build(self, input_shape: tuple) -> None:
        pooled = (input_shape[0], input_shape[-1])
        if self.kind == "sact":
            self.local_bn.build(input_shape)
            self.local_conv.build(input_shape)
        self.global_bn.build(pooled)
        self.global_conv.build((input_shape[0], 1, 1, input_shape[-1]))

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        valid: tf.Tensor | None = None,
        positions: tf.Tensor | None = None,
        mean: tf.Tensor | None = None,
    ) -> tf.Tensor:
        inputs = tf.cast(inputs, self.compute_dtype)
        mean = mean_over(inputs, valid) if mean is None else mean
        images = None if positions is None else tf.reduce_any(positions, axis=[1, 2])
        logits = self._global_logits(mean, training, images)
        if self.kind == "sact":
            positions = valid if positions is None else positions
            logits += self._local_logits(inputs, training, valid, positions)
        return tf.sigmoid(logits)

    def score_rows(
        self,
        active: tf.Tensor,
        ring: tf.Tensor,
        rows: ActiveRows,
        mean: tf.Tensor,
        training: bool | None = None,
    ) -> tf.Tensor:
        """SACT's scores of the active positions alone; batch statistics are taken over them.

        Args:
            active: [A, C], the states of the active positions.
            ring: [E, C], those of the positions around.
            rows: `ActiveRows` of both.
            mean: [B, C], the mean of each image's states.
            training: as in the call.

        Returns:
            [A], float32 or float64.
        """
        active, ring = (tf.cast(states, self.compute_dtype) for states in (active, ring))
        images = count_by_image(rows, tf.shape(mean)[0])[:, 0] > 0
        logits = tf.gather(self._global_logits(mean, training, images)[:, 0, 0], rows.images)
        products = self._local_products([active, ring], training)
        if training:
            share = tuning.SHARE_FOR_MAP_OF_SUMS
            local = sum_neighbour_rows_in_training(products, rows, share)
        else:
            local = sum_neighbour_rows(products, rows.neighbours, rows.num_active)
        return tf.sigmoid(logits + (local + self.local_conv.bias_tensor))

    def score_windows(
        self, patches: tf.Tensor, windows: Windows, grid: WindowGrid, mean: tf.Tensor
    ) -> tf.Tensor:
        """SACT's scores in the middle of windows, in inference.

        Args:
            patches: [A, h + 2 reach, w + 2 reach, C], the states in the windows.
            windows, grid: the `Windows` and their `WindowGrid`.
            mean: [B, C], the mean of each image's states.

        Returns:
            [A, h, w], float32 or float64.
        """
        patches, inside = tf.cast(patches, self.compute_dtype), windows.inside
        edge = grid.reach - 1  # one position around the tile is read
        if edge:
            patches, inside = (t[:, edge:-edge, edge:-edge] for t in (patches, inside))
        logits = self._global_logits(mean, False, None)
        logits = tf.gather(logits, tf.minimum(windows.images, grid.batch - 1))
        if self._is_narrow(patches):
            maps = self.activate(self.local_bn(patches, training=False))
            products = self._depthwise(times(maps, inside), "VALID")
            local = tf.reduce_sum(cut_windows(products, inside, 1), axis=-1)
        else:
            planes = self._local_planes(patches, False) * tf.cast(inside, patches.dtype)
            local = sum_neighbours(planes)[:, 1:-1, 1:-1]
        return tf.sigmoid(logits + local + self.local_conv.bias_tensor)

    def flops(self, positions: tf.Tensor) -> tf.Tensor:
        """Operations per image: local convolution at `positions` (int64 [B]), global one at one."""
        channels = self.global_conv.kernel.shape[2]
        total = conv2d_flops(tf.ones_like(positions), 1, channels, 1)
        if self.kind == "sact":
            total += conv2d_flops(positions, 3, channels, 1)
        return total

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind, "bias": self.bias}

    def _global_logits(self, mean, training, images):
        """Logit of each image as a whole, from its mean [B, C]: [B, 1, 1]; ACT's with the bias."""
        mean = self.activate(self.global_bn(mean, training=training, positions=images))
        logits = tf.matmul(mean, self.global_conv.kernel_tensor[0, 0])
        if self.kind == "act":
            logits += self.global_conv.bias_tensor
        return tf.expand_dims(logits, -1)

    def _local_logits(self, inputs, training, valid, positions):
        if is_converting() and not keeps_channels_last():
            maps = self.activate(self.local_bn(inputs, training=training, positions=positions))
            weights = tf.transpose(self._local_weights())
            return sum_neighbours_by_convolutions(maps, weights) + self.local_conv.bias_tensor
        # A convolution to one channel keeps the matrix units idle: a product with nine rows, then
        # a sum over the neighbours, is several times faster. Zero padding comes after the batch
        # normalization, so it is the products of positions outside that are zero.
        if not training and self._is_narrow(inputs):
            maps = self.activate(self.local_bn(inputs, training=False))
            products = self._depthwise(zero_outside(maps, valid), "SAME")
            return tf.reduce_sum(products, axis=-1) + self.local_conv.bias_tensor
        if in_xla():  # whose product of nine rows takes two to nine times as long
            columns = zero_outside(self._local_columns(inputs, training, positions), valid)
            return sum_neighbour_columns(columns) + self.local_conv.bias_tensor
        planes = self._local_planes(inputs, training, positions)
        if valid is not None:
            planes = tf.where(valid, planes, tf.zeros([], planes.dtype))
        return sum_neighbours(planes) + self.local_conv.bias_tensor

    def _is_narrow(self, maps):
        """Whether a depthwise convolution and a sum over channels take less than products."""
        return (
            self.negative_slope is not None
            and maps.shape[-1] <= tuning.MOST_CHANNELS_OF_DEPTHWISE_SCORE
            and on_cpu()
        )

    def _depthwise(self, maps, padding):
        """What each channel adds to the local convolution: [B, H, W, C]; less for VALID."""
        kernel = self.local_conv.kernel_tensor  # of one output: [3, 3, C, 1]
        return tf.nn.depthwise_conv2d(maps, kernel, [1, 1, 1, 1], padding)

    def _local_planes(self, maps, training, positions=None):
        """What each position contributes to its nine neighbours: [B, H, W, C] -> [9, B, H, W].

        Plane 3 * (dy + 1) + dx + 1 is what neighbour (dy, dx) is read with.
        """
        rows, weights, constant = self._local_factors(maps, training, positions)
        planes = tf.matmul(weights, rows, transpose_b=True)
        if constant is not None:
            planes += constant[:, tf.newaxis]
        return tf.reshape(planes, tf.concat([[9], tf.shape(maps)[:-1]], axis=0))

    def _local_columns(self, maps, training, positions=None):
        """The same with the planes as channels: [B, H, W, C] -> [B, H, W, 9]."""
        rows, weights, constant = self._local_factors(maps, training, positions)
        columns = tf.matmul(rows, weights, transpose_b=True)
        if constant is not None:
            columns += constant
        return tf.reshape(columns, tf.concat([tf.shape(maps)[:-1], [9]], axis=0))

    def _local_factors(self, maps, training, positions):
        """What is multiplied, [B * H * W, C] and [9, C], and constants [9] to add, or None."""
        weights, constant = self._local_weights(), None
        if self._folds(training, positions):
            weights, constant = self._fold(maps, training, positions)
        else:
            maps = self.local_bn(maps, training=training, positions=positions)
            maps = self.activate(maps)
        return tf.reshape(maps, [-1, maps.shape[-1]]), weights, constant

    def _local_products(self, pieces, training):
        """`_local_planes` of rows, by column: list of [n, C] -> [n, 9]."""
        if not self._folds(training):
            pieces = self.local_bn.on_rows(pieces, self.activate, training)
            weights = self._local_weights()
            return [tf.matmul(piece, weights, transpose_b=True) for piece in pieces]
        weights, constant = self._fold(pieces[0], training)
        products = [tf.matmul(piece, weights, transpose_b=True) for piece in pieces]
        return [tf.nn.bias_add(product, constant) for product in products]

    def _folds(self, training, positions=None):
        """Whether the batch normalization goes into the product, with no activation in between.

        In training the fused kernel takes less time than statistics by themselves.
        """
        if self.negative_slope is not None:
            return False
        return (
            not training
            or positions is not None
            or not self.local_bn.can_fuse(self.compute_dtype, training)
        )

    def _fold(self, features, training, positions=None):
        """The product's weights [9, C] and constants [9] with the batch normalization in them."""
        scale, shift = self.local_bn.scale_and_shift(features, training, positions)
        weights = self._local_weights()
        return weights * scale, tf.linalg.matvec(weights, shift)

    def _local_weights(self):
        return tf.reshape(self.local_conv.kernel_tensor, [9, -1])
