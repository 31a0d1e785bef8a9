"""Batch normalization by the statistics of the batch, in TensorFlow's fused kernel.

The kernel is made for maps. Here it serves rows, too, of which some may be normalized by the
statistics of the others, and tells the biased variance.

N rows that count, M others, C channels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.precision import at_least_float32


class Statistics(NamedTuple):
    """Mean and biased variance, float32 [C]."""

    mean: tf.Tensor
    variance: tf.Tensor


def normalize_map(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, Statistics]:
    """Batch normalization of whole maps.

    Args:
        inputs: [B, H, W, C], not empty; any floating dtype but float64.
        gamma, beta: float32 [C].
        epsilon: float, added to the variance.

    Returns:
        `(outputs, statistics)`: [B, H, W, C] in the dtype of the inputs, and `Statistics`, through
        which no gradient flows.
    """
    result = _kernel(inputs, gamma, beta, epsilon)
    count = tf.size(inputs) // inputs.shape[-1]
    variance = _biased(result.batch_variance, count)
    return result.y, Statistics(*map(tf.stop_gradient, (result.batch_mean, variance)))


def normalize_rows(
    counted: tf.Tensor,
    others: Sequence[tf.Tensor],
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    instead: Statistics,
) -> tuple[list[tf.Tensor], Statistics]:
    """Batch normalization of rows by the statistics of some of them.

    Args:
        counted: [N, C], the rows that the statistics are taken from; any floating dtype but
            float64.
        others: list of [M, C].
        gamma, beta, epsilon: as in `normalize_map`.
        instead: `Statistics` that are taken where N is 0.

    Returns:
        `(rows, statistics)`: list of the normalized rows, the counted ones first, and `Statistics`,
        through which no gradient flows.
    """

    @tf.custom_gradient
    def normalize(mean, variance, gamma, beta, counted, *others):
        gamma, beta, counted = (tf.identity(tensor) for tensor in (gamma, beta, counted))
        others = [tf.identity(rows) for rows in others]
        count = tf.shape(counted)[0]
        maps = _as_map(counted)
        result = _kernel(maps, gamma, beta, epsilon)
        is_empty = tf.equal(count, 0)
        mean = tf.where(is_empty, mean, result.batch_mean)
        variance = tf.where(is_empty, variance, _biased(result.batch_variance, count))
        inverse = tf.math.rsqrt(variance + epsilon)
        scale = inverse * gamma
        shift = beta - mean * scale
        outputs = [tf.reshape(result.y, tf.shape(counted))]
        outputs += [tf.cast(at_least_float32(rows) * scale + shift, rows.dtype) for rows in others]

        def gradient(upstream, *rest):
            # The last two are those of the statistics.
            of_map, of_gamma, of_beta, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=_as_map(upstream),
                x=maps,
                scale=gamma,
                reserve_space_1=result.reserve_space_1,
                reserve_space_2=result.reserve_space_2,
                reserve_space_3=result.reserve_space_3,
                epsilon=epsilon,
                is_training=True,
            )
            of_counted = tf.reshape(of_map, tf.shape(counted))
            of_others = []
            for rows, of_outputs in zip(others, rest[: len(others)], strict=True):
                centred = (at_least_float32(rows) - mean) * inverse
                of_outputs = at_least_float32(of_outputs)
                total = tf.reduce_sum(of_outputs, axis=0)
                product = tf.reduce_sum(of_outputs * centred, axis=0)
                of_others.append(tf.cast(of_outputs * scale, rows.dtype))
                of_gamma += product
                of_beta += total
                # The statistics carry what comes from the other rows to those that they are of.
                of_counted = tf.cond(
                    tf.size(rows) > 0,
                    lambda old=of_counted, total=total, product=product: (
                        old - _by_statistics(counted, mean, inverse, scale, total, product)
                    ),
                    lambda old=of_counted: old,
                )
            return (None, None, of_gamma, of_beta, of_counted, *of_others)

        return (*outputs, mean, variance), gradient

    *rows, mean, variance = normalize(*instead, gamma, beta, counted, *others)
    return rows, Statistics(tf.stop_gradient(mean), tf.stop_gradient(variance))


def _by_statistics(counted, mean, inverse, scale, total, product):
    count = tf.cast(tf.shape(counted)[0], scale.dtype)
    slope = scale * inverse * product / count
    # Of the centred rows: a slope of thousands would lose what they have in common.
    share = (at_least_float32(counted) - mean) * slope + scale * total / count
    return tf.cast(share, counted.dtype)


def _kernel(maps, gamma, beta, epsilon):
    unused = tf.zeros([0])
    return tf.raw_ops.FusedBatchNormV3(
        x=maps,
        scale=gamma,
        offset=beta,
        mean=unused,
        variance=unused,
        epsilon=epsilon,
        is_training=True,
    )


def _as_map(rows):
    return rows[tf.newaxis, :, tf.newaxis]


def _biased(variance, count):
    """The kernel tells the variance of a sample, with N - 1 in the denominator."""
    count = tf.cast(count, variance.dtype)
    return tf.math.multiply_no_nan(variance, (count - 1) / tf.maximum(count, 1))
