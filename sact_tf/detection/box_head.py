"""The last layers of the box classifier."""

import keras
import tensorflow as tf

from sact_tf.layers.batch_normalization import BatchNormalization
from sact_tf.ops.activation import leaky_relu
from sact_tf.ops.positions import mean_over


@keras.saving.register_keras_serializable(package="sact_tf")
class BoxHead(keras.layers.Layer):
    """Class scores and a box for each class, from the features of a region.

    Batch normalization, activation and global mean as in `ClassifierHead`, then two dense layers.

    Args:
        num_classes: C, without background.
        pools_first: mean before the batch normalization (CIFAR networks), not after the activation
            (ImageNet networks).
        negative_slope, weight_decay, batch_norm: as in `ResidualUnit`.

    Call arguments:
        inputs: features of the regions, [R, h, w, channels].
        training: whether batch normalization uses the statistics of this batch.
        exists: optional bool [R]; the others do not enter the statistics.

    Returns:
        `(logits, codes)`, float32: [R, 1 + C], background first, and [R, C, 4].
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
        self.postnorm = BatchNormalization(name="postnorm", dtype="float32", **self.batch_norm)
        self.scores = _output(num_classes + 1, weight_decay, 0.01, "scores")
        self.boxes = _output(4 * num_classes, weight_decay, 0.001, "boxes")

    def build(self, input_shape):
        channels = input_shape[-1]
        self.postnorm.build((None, channels) if self.pools_first else (None, None, None, channels))
        for layer in (self.scores, self.boxes):
            layer.build((None, channels))

    def call(self, inputs, training=None, exists=None):
        features = tf.cast(inputs, tf.float32)
        if self.pools_first:
            pooled = self.postnorm(mean_over(features), training=training, positions=exists)
            pooled = leaky_relu(pooled, self.negative_slope)
        else:
            if exists is not None:
                shape = tf.shape(features)[:3]
                exists = tf.broadcast_to(exists[:, tf.newaxis, tf.newaxis], shape)
            features = self.postnorm(features, training=training, positions=exists)
            pooled = mean_over(leaky_relu(features, self.negative_slope))
        codes = tf.reshape(self.boxes(pooled), [-1, self.num_classes, 4])
        return self.scores(pooled), codes

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "pools_first": self.pools_first,
            "negative_slope": self.negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }


def _output(units, weight_decay, stddev, name):
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
        kernel_regularizer=keras.regularizers.L2(weight_decay / 2) if weight_decay else None,
        name=name,
        dtype="float32",
    )
