"""From features to logits."""

import keras
import tensorflow as tf

from sact_tf.layers.batch_normalization import BatchNormalization
from sact_tf.layers.convolution import Convolution
from sact_tf.ops.activation import leaky_relu
from sact_tf.ops.flops import conv2d_flops
from sact_tf.ops.halting import halting_dtype
from sact_tf.ops.positions import mean_over


@keras.saving.register_keras_serializable(package="sact_tf")
class ClassifierHead(keras.layers.Layer):
    """Batch normalization, activation, global average pool and a 1x1 convolution.

    Args:
        num_classes: number of logits.
        pools_first: pool before the batch normalization (CIFAR networks), not after the activation
            (ImageNet networks).
        negative_slope, weight_decay, batch_norm: as in `ResidualUnit`.

    Call arguments:
        inputs: features [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]; what is not padding.

    Returns:
        Logits [B, num_classes], float32 (float64 if the layer is).
    """

    def __init__(
        self,
        num_classes,
        pools_first=False,
        negative_slope=0.0,
        weight_decay=0.0,
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.pools_first = pools_first
        self.negative_slope = negative_slope
        self.weight_decay = weight_decay
        self.batch_norm = dict(batch_norm or {})
        dtype = halting_dtype(self.compute_dtype).name
        self.postnorm = BatchNormalization(name="postnorm", dtype=dtype, **self.batch_norm)
        self.logits = Convolution(
            num_classes, 1, use_bias=True, weight_decay=weight_decay, name="logits", dtype=dtype
        )

    def build(self, input_shape):
        channels = input_shape[-1]
        self.postnorm.build((None, channels) if self.pools_first else (None, None, None, channels))
        self.logits.build((None, 1, 1, channels))

    def call(self, inputs, training=None, valid=None):
        features = tf.cast(inputs, self.logits.compute_dtype)
        if self.pools_first:
            pooled = self.postnorm(mean_over(features, valid), training=training)
            pooled = leaky_relu(pooled, self.negative_slope)
        else:
            features = self.postnorm(features, training=training, positions=valid)
            pooled = mean_over(leaky_relu(features, self.negative_slope), valid)
        return self.logits(pooled[:, tf.newaxis, tf.newaxis])[:, 0, 0]

    def flops(self):
        """Operations per image, an int64 scalar."""
        return conv2d_flops(1, 1, self.logits.kernel.shape[2], self.num_classes)

    def compute_output_spec(self, inputs, training=None, valid=None):
        return keras.KerasTensor((inputs.shape[0], self.num_classes), self.logits.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "pools_first": self.pools_first,
            "negative_slope": self.negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }
