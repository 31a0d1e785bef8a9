"""Batch normalization whose statistics can be taken over a part of the positions."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from sact_tf.ops import batch_statistics
from sact_tf.ops.conversion import is_converting, keeps_channels_last
from sact_tf.ops.devices import on_cpu
from sact_tf.ops.precision import at_least_float32, sum_dtype


@keras.saving.register_keras_serializable(package="sact_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over chosen positions, as one affine map per channel.

    Statistics are the mean and the biased variance over all axes but the last; the moving ones
    are updated in training with the biased variance, too. Computation is at least in float32.

    In training one fused kernel of TensorFlow computes statistics and result, where it can: all
    positions of a map or all rows count, the statistics are this replica's own, and the dtype is
    not float64. Elsewhere, and with `fused=False`, plain operations do, which take about twice the
    time. The two differ by rounding, in which the plain operations agree with the authors' better.

    Statistics can be restricted to some positions (the valid part of a padded batch, the active
    positions), as with the `mask` of the Keras layer, but so that what is outside does not count
    even if it is NaN, sums are divided by the exact number of positions, and a batch without any
    leaves the moving statistics alone and is normalized by them. `scale_and_shift` gives the affine
    map itself, so that a caller can apply it to rows or fold it into a neighbouring convolution.

    In inference TensorFlow merges the fused kernel into a convolution right before it. Of other
    maps a 1x1 depthwise convolution takes less time on a CPU, activation included.

    Args:
        momentum, epsilon, synchronized, **kwargs: as in `keras.layers.BatchNormalization`.
        fused: whether training may use the fused kernel.
        follows_convolution: whether a convolution's output is normalized. Moves time only.

    Call arguments:
        inputs: [..., channels].
        training: whether to use the statistics of this batch and to update the moving ones. As in
            Keras, a layer with `trainable=False` always uses the moving ones.
        positions: optional bool of the shape of `inputs` without channels.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        synchronized: bool = False,
        fused: bool = True,
        follows_convolution: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, synchronized=synchronized, **kwargs)
        self.fused = fused
        self.follows_convolution = follows_convolution
        if self.axis != -1 or self.renorm:
            raise ValueError(
                "Expected axis=-1 and renorm=False, the only ones supported here, received "
                f"axis={self.axis}, renorm={self.renorm}"
            )

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, positions: tf.Tensor | None = None
    ) -> tf.Tensor:
        # Of small vectors the kernel's threads would wait for those of larger operations.
        fuses = self.can_fuse(inputs.dtype, training) and not keeps_channels_last()
        if len(inputs.shape) == 4 and fuses:
            if not self._uses_batch(training):
                by_itself = not self.follows_convolution and inputs.dtype == tf.float32
                depthwise = by_itself and on_cpu() and not is_converting()
                return self._depthwise(inputs) if depthwise else self._fused(inputs)
            if positions is None:
                return self._fused_training(inputs)
        scale, shift = self.scale_and_shift(inputs, training, positions)
        return _affine(inputs, scale, shift)

    def on_rows(
        self,
        pieces: Sequence[tf.Tensor],
        activate: Callable[[tf.Tensor], tf.Tensor],
        training: bool | None = None,
        positions: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        """The layer and an activation on rows instead of maps.

        Args:
            pieces: list of [n, channels]; n may be 0. Batch statistics are those of the first.
            activate: function of a tensor, applied to the results.
            training: as in the call.
            positions: optional bool [n], which rows of the first count.

        Returns:
            List of [n, channels].
        """
        fuses = positions is None and self.can_fuse(pieces[0].dtype, training)
        if self._uses_batch(training) and fuses:
            moving = batch_statistics.Statistics(
                tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            )
            gamma, beta = self._gamma_and_beta()
            rows, statistics = batch_statistics.normalize_rows(
                pieces[0], pieces[1:], gamma, beta, self.epsilon, instead=moving
            )
            self._update_moving_statistics(*statistics)
            return [activate(piece) for piece in rows]
        # On rows, a CPU runs these three operations faster than a kernel for maps.
        scale, shift = self.scale_and_shift(pieces[0], training, positions)
        return [activate(_affine(piece, scale, shift)) for piece in pieces]

    def scale_and_shift(
        self, inputs: tf.Tensor, training: bool | None = None, positions: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The layer as `inputs * scale + shift`; updates the moving statistics in training.

        Args:
            inputs: [..., channels], read in training only.
            training, positions: as in the call.

        Returns:
            `(scale, shift)`, each [channels], at least float32.
        """
        dtype = sum_dtype(inputs.dtype)
        mean = tf.cast(self.moving_mean, dtype)
        variance = tf.cast(self.moving_variance, dtype)
        if self._uses_batch(training):
            mean, variance = self._batch_statistics(
                at_least_float32(inputs), positions, mean, variance
            )
            self._update_moving_statistics(mean, variance)
        scale = tf.math.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            scale *= tf.cast(self.gamma, dtype)
        shift = -mean * scale
        if self.beta is not None:
            shift += tf.cast(self.beta, dtype)
        return scale, shift

    def _batch_statistics(self, inputs, positions, moving_mean, moving_variance):
        axes = list(range(len(inputs.shape) - 1))
        if positions is None and not self.synchronized and len(inputs.shape) == 4:
            return tf.nn.moments(inputs, axes)  # a map is never empty, rows may be
        if positions is None:
            count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], inputs.dtype)
            chosen = inputs
        else:
            where = positions[..., tf.newaxis]
            count = tf.reduce_sum(tf.cast(positions, inputs.dtype))
            chosen = tf.where(where, inputs, tf.zeros([], inputs.dtype))
        count = self._over_replicas(count)
        mean = tf.math.divide_no_nan(self._over_replicas(tf.reduce_sum(chosen, axes)), count)
        centred = chosen - mean
        if positions is not None:
            centred = tf.where(where, centred, tf.zeros([], inputs.dtype))
        squares = self._over_replicas(tf.reduce_sum(tf.square(centred), axes))
        variance = tf.math.divide_no_nan(squares, count)
        is_empty = tf.equal(count, 0)
        return (
            tf.where(is_empty, moving_mean, mean),
            tf.where(is_empty, moving_variance, variance),
        )

    def _over_replicas(self, total):
        context = tf.distribute.get_replica_context()
        if not self.synchronized or context is None or context.num_replicas_in_sync == 1:
            return total
        return context.all_reduce(tf.distribute.ReduceOp.SUM, total)

    def _update_moving_statistics(self, mean, variance):
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            # This form leaves the moving statistics unmoved to the bit where there was no position.
            moving.assign_add((tf.cast(batch, moving.dtype) - moving) * (1.0 - self.momentum))

    def can_fuse(self, dtype: tf.DType, training: bool | None) -> bool:
        """Whether the fused kernel computes the layer where all positions count."""
        complete = self.gamma is not None and self.beta is not None
        if not complete or dtype == tf.float64:
            return False
        return not self._uses_batch(training) or (self.fused and not self.synchronized)

    @property
    def rises(self) -> bool:
        """Whether no channel's scale is below zero now; also while a graph is being traced."""
        with tf.init_scope():
            return self.gamma is None or bool(tf.reduce_all(tf.convert_to_tensor(self.gamma) >= 0))

    def _uses_batch(self, training):
        return bool(training and self.trainable)

    def _fused(self, inputs):
        """One kernel, which Grappler merges on a CPU into the convolution before it."""
        gamma, beta = self._gamma_and_beta()
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.convert_to_tensor(self.moving_mean),
            variance=tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=False,
        ).y

    def _depthwise(self, inputs):
        """One kernel, into which Grappler merges the activation after it, leaky or not."""
        scale, shift = self.scale_and_shift(inputs)
        kernel = scale[tf.newaxis, tf.newaxis, :, tf.newaxis]
        scaled = tf.nn.depthwise_conv2d(inputs, kernel, [1, 1, 1, 1], "VALID")
        return tf.nn.bias_add(scaled, shift)

    def _fused_training(self, inputs):
        """The layer on a map that is not empty, and the update of the moving statistics."""
        gamma, beta = self._gamma_and_beta()
        outputs, statistics = batch_statistics.normalize_map(inputs, gamma, beta, self.epsilon)
        self._update_moving_statistics(*statistics)
        return outputs

    def _gamma_and_beta(self):
        return tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "fused": self.fused,
            "follows_convolution": self.follows_convolution,
        }


def _affine(inputs, scale, shift):
    return tf.cast(tf.cast(inputs, scale.dtype) * scale + shift, inputs.dtype)
