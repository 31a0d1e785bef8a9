"""The weights of the Region Proposal Network."""

import keras
import tensorflow as tf

from sact_tf.layers.batch_normalization import BatchNormalization
from sact_tf.layers.convolution import Convolution
from sact_tf.ops.activation import leaky_relu
from sact_tf.ops.positions import zero_outside


@keras.saving.register_keras_serializable(package="sact_tf")
class RegionProposalNetwork(keras.layers.Layer):
    """Says for each anchor whether there is an object and how its box differs.

    Batch normalization and activation come first, as before every convolution of these
    (pre-activation) networks; then a 3x3 convolution with ReLU and two 1x1 convolutions.

    Args:
        channels: of the 3x3 convolution.
        num_anchors: A, anchors of a position.
        negative_slope, weight_decay, batch_norm: as in `ResidualUnit`.

    Call arguments:
        inputs: features [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]; what is not padding.

    Returns:
        `(logits, codes)`, float32: [B, H * W * A] and [B, H * W * A, 4], in the order of
        `anchor_grid`.

    Reference: arXiv:1506.01497, section 3.1.
    """

    def __init__(
        self,
        channels,
        num_anchors,
        negative_slope=0.0,
        weight_decay=0.0,
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.channels = channels
        self.num_anchors = num_anchors
        self.negative_slope = negative_slope
        self.weight_decay = weight_decay
        self.batch_norm = dict(batch_norm or {})
        self.preact = BatchNormalization(name="preact", dtype=self.dtype_policy, **self.batch_norm)
        self.conv = Convolution(
            channels,
            3,
            use_bias=True,
            weight_decay=weight_decay,
            name="conv",
            dtype=self.dtype_policy,
        )
        self.scores = _output(num_anchors, weight_decay, "scores")
        self.boxes = _output(4 * num_anchors, weight_decay, "boxes")

    def build(self, input_shape):
        self.preact.build(input_shape)
        self.conv.build(input_shape)
        for layer in (self.scores, self.boxes):
            layer.build((*input_shape[:-1], self.channels))

    def call(self, inputs, training=None, valid=None):
        preact = self.preact(inputs, training=training, positions=valid)
        preact = zero_outside(leaky_relu(preact, self.negative_slope), valid)
        hidden = tf.cast(tf.nn.relu(self.conv(preact)), tf.float32)
        batch = tf.shape(hidden)[0]
        logits = tf.reshape(self.scores(hidden), [batch, -1])
        return logits, tf.reshape(self.boxes(hidden), [batch, -1, 4])

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "num_anchors": self.num_anchors,
            "negative_slope": self.negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }


def _output(filters, weight_decay, name):
    return keras.layers.Conv2D(
        filters,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        kernel_regularizer=keras.regularizers.L2(weight_decay / 2) if weight_decay else None,
        name=name,
        dtype="float32",
    )
