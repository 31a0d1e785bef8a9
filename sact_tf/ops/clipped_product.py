"""Batch normalization, ReLU, 1x1 convolution and batch normalization of rows: a clip and a product.

max(s x + b, 0) is s max(x, -b / s) + b for s > 0, and s min(x, -b / s) + b for s < 0. Scale and
shift go into the product, so that one pass over the rows is left of three.
"""

from typing import NamedTuple

import tensorflow as tf


class ClippedProduct(NamedTuple):
    """x -> clip(x, low, high) kernel + bias.

    Attributes:
        low: [N]; -infinity where there is none.
        high: [N] likewise; None for none at all.
        kernel: [N, M].
        bias: [M].
    """

    low: tf.Tensor
    high: tf.Tensor | None
    kernel: tf.Tensor
    bias: tf.Tensor

    @classmethod
    def of(
        cls,
        before: tuple[tf.Tensor, tf.Tensor],
        kernel: tf.Tensor,
        after: tuple[tf.Tensor, tf.Tensor],
        rises: bool,
    ) -> "ClippedProduct":
        """The product for batch normalizations, given as (scale, shift), before and after it.

        Args:
            before: of the inputs, [N] each.
            kernel: [N, M].
            after: of the products, [M] each.
            rises: whether it is known that no scale before is below zero.
        """
        scale, shift = before
        shift = tf.where(tf.equal(scale, 0), tf.nn.relu(shift), shift)
        bound = -tf.math.divide_no_nan(shift, scale)
        low = tf.where(scale > 0, bound, -float("inf"))
        high = None if rises else tf.where(scale < 0, bound, float("inf"))
        product = scale[:, tf.newaxis] * kernel * after[0]
        bias = tf.linalg.matvec(kernel, shift, transpose_a=True) * after[0] + after[1]
        return cls(low, high, product, bias)

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """[R, N] -> [R, M]."""
        rows = tf.maximum(rows, self.low)
        if self.high is not None:
            rows = tf.minimum(rows, self.high)
        return tf.nn.bias_add(tf.matmul(rows, self.kernel), self.bias)
