"""Analytic counts of floating point operations, int64 per image.

A multiply-add is two operations; only convolutions count, without their biases (section 4.1 of
arXiv:1612.02297).
"""

import tensorflow as tf


def conv2d_flops(
    positions: tf.Tensor | int, kernel_size: int, in_channels: int, out_channels: int
) -> tf.Tensor:
    """Operations of a k x k convolution evaluated at some output positions.

    Args:
        positions: number of output positions, integer tensor or int (for instance [B], the number
            of active positions of each image).
        kernel_size: k.
        in_channels: channels read.
        out_channels: channels written.

    Returns:
        int64 tensor of the shape of `positions`: 2 * positions * k^2 * in * out.
    """
    return tf.cast(positions, tf.int64) * (2 * kernel_size**2 * in_channels * out_channels)


def count_positions(active: tf.Tensor) -> tf.Tensor:
    """Number of true positions of each image: bool [B, H, W] -> int64 [B]."""
    return tf.reduce_sum(tf.cast(active, tf.int64), axis=[1, 2])


def map_positions(shape: tf.Tensor | list, valid: tf.Tensor | None = None) -> tf.Tensor:
    """Number of positions of each image of a whole map.

    Args:
        shape: [B, H, W, ...] as an int tensor or list.
        valid: optional bool [B, H, W]; only its true positions count.

    Returns:
        int64 [B].
    """
    if valid is not None:
        return count_positions(valid)
    shape = tf.cast(shape, tf.int64)
    return tf.repeat(shape[1] * shape[2], shape[0])
