"""Halting scores of ACT and SACT."""

import keras
import tensorflow as tf

from sact_tf.layers.batch_normalization import BatchNormalization
from sact_tf.layers.convolution import Convolution
from sact_tf.ops.activation import leaky_relu
from sact_tf.ops.active_rows import count_by_image
from sact_tf.ops.flops import conv2d_flops
from sact_tf.ops.halting import halting_dtype
from sact_tf.ops.positions import mean_over, zero_outside
from sact_tf.ops.row_convolution import sum_neighbour_rows

KINDS = ("act", "sact")


@keras.saving.register_keras_serializable(package="sact_tf")
class HaltingScore(keras.layers.Layer):
    """Halting score h of every image (ACT) or every position (SACT).

    ACT:  h = sigmoid(W bn(mean(x)) + b)                                   (eq. 6)
    SACT: h = sigmoid(conv3x3(bn_local(x)) + W bn_global(mean(x)) + b)     (eq. 14)

    Computes in float32 whatever the dtype around it (float64 stays float64).

    Args:
        kind: "act" or "sact".
        bias: initial bias b; -3 starts with about 21 units (section 4).
        negative_slope: leaky ReLU after the batch normalizations; None for no activation (the
            ImageNet networks).
        weight_decay, batch_norm: see `ResidualUnit`.

    Call arguments:
        inputs: the unit's output [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]; what is not padding.
        positions: optional bool [B, H, W]; where the batch statistics are taken, `valid` if None.
            The global ones are taken over the images that have any such position.
        mean: optional [B, C], the mean of each image, where it is known already.
        ring, rows: for tiled execution of SACT: `inputs` are then the states of the active
            positions [A, C], `ring` [E, C] those around, and `rows` the `ActiveRows` of both.

    Returns:
        [B, 1, 1] for ACT, [B, H, W] for SACT ([A] with `rows`), in [0, 1], float32 or float64.

    Reference: arXiv:1612.02297.
    """

    def __init__(
        self, kind, bias=-3.0, negative_slope=None, weight_decay=0.0, batch_norm=None, **kwargs
    ):
        policy = keras.dtype_policies.get(kwargs.pop("dtype", None) or "float32")
        super().__init__(dtype=halting_dtype(policy.compute_dtype).name, **kwargs)
        if kind not in KINDS:
            raise ValueError(f"Expected kind to be one of {KINDS}, received kind={kind!r}")
        self.kind = kind
        self.bias = bias
        self.negative_slope = negative_slope
        self.weight_decay = weight_decay
        self.batch_norm = dict(batch_norm or {})
        self.local_bn = self.local_conv = None
        if kind == "sact":
            self.local_bn = self._normalization("local_bn")
            self.local_conv = self._convolution(3, "local_conv", use_bias=True)
        self.global_bn = self._normalization("global_bn")
        self.global_conv = self._convolution(1, "global_conv", use_bias=kind == "act")

    def build(self, input_shape):
        pooled = (input_shape[0], input_shape[-1])
        if self.kind == "sact":
            self.local_bn.build(input_shape)
            self.local_conv.build(input_shape)
        self.global_bn.build(pooled)
        self.global_conv.build((input_shape[0], 1, 1, input_shape[-1]))

    def call(
        self,
        inputs,
        training=None,
        valid=None,
        positions=None,
        mean=None,
        ring=None,
        rows=None,
    ):
        inputs = tf.cast(inputs, halting_dtype(self.compute_dtype))
        mean = mean_over(inputs, valid) if mean is None else mean
        if rows is not None:
            images = count_by_image(rows, tf.shape(mean)[0])[:, 0] > 0
            logits = self.global_logit(mean, training, images)[:, 0, 0]
            logits = tf.gather(logits, rows.images)
            return tf.sigmoid(logits + self._local_row_logits(inputs, ring, rows, training))
        images = None if positions is None else tf.reduce_any(positions, axis=[1, 2])
        logits = self.global_logit(mean, training, images)
        if self.kind == "sact":
            positions = valid if positions is None else positions
            logits += self._local_logits(inputs, training, valid, positions)
        return tf.sigmoid(logits)

    def global_logit(self, mean, training=None, images=None):
        """Logit of the image as a whole, from its mean [B, C]: [B, 1, 1]; ACT's with the bias."""
        mean = self.activate(self.global_bn(mean, training=training, positions=images))
        logit = tf.matmul(mean, self.global_conv.kernel[0, 0])
        if self.kind == "act":
            logit += self.global_conv.bias
        return logit[..., tf.newaxis]

    def local_weights(self):
        """The local 3x3 kernel as [9, C]: row 3 * (dy + 1) + dx + 1 reads neighbour (dy, dx)."""
        return tf.reshape(tf.convert_to_tensor(self.local_conv.kernel), [9, -1])

    def activate(self, inputs):
        return leaky_relu(inputs, self.negative_slope)

    def flops(self, positions):
        """Operations per image: local convolution at `positions` (int64 [B]), global one at one."""
        channels = self.global_conv.kernel.shape[2]
        total = conv2d_flops(tf.ones_like(positions), 1, channels, 1)
        if self.kind == "sact":
            total += conv2d_flops(positions, 3, channels, 1)
        return total

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "bias": self.bias,
            "negative_slope": self.negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }

    def _local_logits(self, inputs, training, valid, positions):
        # A convolution to one channel keeps the matrix units idle: a product with nine columns,
        # then a sum over the neighbours, is several times faster. Zero padding comes after the
        # batch normalization, so it is the products of positions outside that are zero.
        affine = self.local_bn.scale_and_shift(inputs, training, positions)
        [products] = self._local_products([inputs], *affine)
        return sum_neighbours(zero_outside(products, valid)) + self.local_conv.bias

    def _local_row_logits(self, active, ring, rows, training):
        """The same for the active rows alone; batch statistics are taken over them."""
        affine = self.local_bn.scale_and_shift(active, training)
        products = self._local_products([active, ring], *affine)
        return sum_neighbour_rows(products, rows.neighbours, rows.num_active) + self.local_conv.bias

    def _local_products(self, pieces, scale, shift):
        """What each position contributes to its nine neighbours: list of [..., C] -> [..., 9]."""
        weights = self.local_weights()
        if self.negative_slope is not None:
            pieces = [self.activate(piece * scale + shift) for piece in pieces]
            return [_product(piece, weights) for piece in pieces]
        # Without an activation in between, the batch normalization goes into the product.
        constant = tf.linalg.matvec(weights, shift)
        weights *= scale
        return [_product(piece, weights, constant) for piece in pieces]

    def _normalization(self, name):
        return BatchNormalization(name=name, dtype=self.dtype_policy, **self.batch_norm)

    def _convolution(self, size, name, use_bias):
        return Convolution(
            1,
            size,
            use_bias=use_bias,
            bias_initializer=keras.initializers.Constant(self.bias),
            weight_decay=self.weight_decay,
            name=name,
            dtype=self.dtype_policy,
        )


def _product(features, weights, bias=None):
    """[..., C], [9, C], [9] -> [..., 9]; as one product of matrices, whatever the leading axes."""
    rows = tf.reshape(features, [-1, features.shape[-1]])
    products = tf.matmul(rows, weights, transpose_b=True)
    if bias is not None:
        products = tf.nn.bias_add(products, bias)
    return tf.reshape(products, tf.concat([tf.shape(features)[:-1], [9]], axis=0))


def sum_neighbours(products):
    """Sums what the nine neighbours of each position contribute: [B, H, W, 9] -> [B, H, W].

    Column 3 * (dy + 1) + dx + 1 of position (y + dy, x + dx) goes to position (y, x).
    """
    selection = tf.reshape(tf.eye(9, dtype=products.dtype), [3, 3, 9, 1])
    return tf.nn.conv2d(products, selection, 1, "SAME")[..., 0]
