"""Maps of positions (valid, active) against feature maps: masking, means, strides, alignment.

`valid` is a bool map [B, H, W] whose true positions form each image's top left rectangle: a batch
of images of different sizes, padded at the bottom and right. `None` means that all is valid.
"""

from typing import Any, TypeVar

import tensorflow as tf

from sact_tf.ops.conversion import is_converting, keeps_channels_last

Positions = TypeVar("Positions", tf.Tensor, None)


def zero_outside(maps: tf.Tensor, positions: tf.Tensor | None) -> tf.Tensor:
    """Features at the given positions, zero elsewhere (not a product: NaN does not survive).

    Args:
        maps: [B, H, W, C].
        positions: bool, broadcastable to [B, H, W], or None (everything).
    """
    if positions is None:
        return maps
    return tf.where(positions[..., tf.newaxis], maps, tf.zeros([], maps.dtype))


def times(maps: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """`zero_outside` of finite features, by a product, which is faster: bool [B, H, W]."""
    return maps * tf.cast(positions, maps.dtype)[..., tf.newaxis]


def sum_over(maps: tf.Tensor, positions: tf.Tensor | None = None) -> tf.Tensor:
    """Sum over the positions of each image: [B, H, W, C] -> [B, C]."""
    # One axis after the other is twice as fast on a CPU as both at once.
    return tf.reduce_sum(tf.reduce_sum(zero_outside(maps, positions), axis=1), axis=1)


def sum_at(maps: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Sum over some positions of each image, in one product: the maps have to be finite elsewhere.

    Args:
        maps: [B, H, W, C].
        positions: bool [B, H, W].

    Returns:
        [B, C].
    """
    batch, height, width, channels = tf.unstack(tf.shape(maps))
    chosen = tf.reshape(tf.cast(positions, maps.dtype), [batch, 1, height * width])
    sums = tf.matmul(chosen, tf.reshape(maps, [batch, height * width, channels]))
    return tf.reshape(sums, [batch, maps.shape[-1]])


def mean_over(maps: tf.Tensor, positions: tf.Tensor | None = None) -> tf.Tensor:
    """Mean over the positions of each image: [B, H, W, C] -> [B, C], 0 for no position."""
    if positions is None and is_converting():
        if not keeps_channels_last():
            return tf.reduce_mean(maps, axis=[1, 2])
        batch, height, width, _ = tf.unstack(tf.shape(maps))
        share = tf.fill([batch, 1, height * width], 1 / tf.cast(height * width, maps.dtype))
        rows = tf.reshape(maps, [batch, height * width, maps.shape[-1]])
        return tf.matmul(share, rows)[:, 0]
    total = sum_over(maps, positions)
    if positions is None:
        return total / tf.cast(tf.shape(maps)[1] * tf.shape(maps)[2], maps.dtype)
    count = tf.reduce_sum(tf.cast(positions, maps.dtype), axis=[1, 2])
    return tf.math.divide_no_nan(total, count[:, tf.newaxis])


def strided_size(size: Any, stride: int) -> Any:
    """Positions of a side after a layer of the given stride, ceil(size / stride).

    Args:
        size: int, int tensor, or None (unknown), which stays None.
        stride: positive int.
    """
    # Of no negative number, whose quotient other runtimes round the other way.
    return None if size is None else (size + stride - 1) // stride


def subsample(positions: Positions, stride: int) -> Positions:
    """The map of positions after a layer of the given stride (ceil(H / stride) rows)."""
    if positions is None or stride == 1:
        return positions
    return positions[:, ::stride, ::stride]


def subsample_features(maps: tf.Tensor, stride: int) -> tf.Tensor:
    """The features at the positions of `subsample`: [B, ceil(H / stride), ceil(W / stride), C]."""
    if stride == 1:
        return maps
    if keeps_channels_last():
        return maps[:, ::stride, ::stride]
    # A window of one position copies them several times faster on a CPU than a strided slice.
    return tf.nn.avg_pool2d(maps, 1, stride, "VALID")


def pad_for_stride_two(maps: tf.Tensor, valid: tf.Tensor, fill: float = 0.0) -> tf.Tensor:
    """Pads so that a VALID 3x3 window of stride 2 sees what SAME would show each image alone.

    TensorFlow's SAME starts a window of size 3 and stride 2 at row -1 where the number of rows is
    odd, and at row 0 where it is even. In a padded batch that depends on each image's own size, so
    rows and columns are shifted image by image.

    Args:
        maps: [B, H, W, C]; holds `fill` wherever it is not valid.
        valid: bool [B, H, W].
        fill: value of the padding.

    Returns:
        [B, H + 2, W + 2, C].
    """
    rows = tf.reduce_sum(tf.cast(tf.reduce_any(valid, axis=2), tf.int32), axis=1)
    columns = tf.reduce_sum(tf.cast(tf.reduce_any(valid, axis=1), tf.int32), axis=1)
    padded = tf.pad(maps, [[0, 0], [1, 2], [1, 2], [0, 0]], constant_values=fill)
    odd = tf.reshape(rows % 2 == 1, [-1, 1, 1, 1])
    padded = tf.where(odd, padded[:, :-1], padded[:, 1:])
    odd = tf.reshape(columns % 2 == 1, [-1, 1, 1, 1])
    return tf.where(odd, padded[:, :, :-1], padded[:, :, 1:])
