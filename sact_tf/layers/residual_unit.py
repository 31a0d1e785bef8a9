"""What every residual unit shares, and the interface that an adaptive block asks of a unit."""

import keras

from sact_tf.layers.batch_normalization import BatchNormalization
from sact_tf.layers.convolution import Convolution
from sact_tf.ops.activation import leaky_relu
from sact_tf.ops.positions import at_least_float32, mean_over, subsample, sum_at


class ResidualUnit(keras.layers.Layer):
    """Base of pre-activation residual units: x + f(x) (arXiv:1612.02297, eq. 2).

    A unit knows nothing of halting. `AdaptiveBlock` takes any layer that has:

    - `stride`: 1 or 2, an int. Only the first unit of a block may have 2 or change the channels.
    - `unit(inputs, training=, valid=)`: the whole unit, shortcut included.
    - `unit.residual(inputs, training=, valid=, outer=, inner=)`: f(x) alone, of the shape of x, for
      a unit with stride 1 and an identity shortcut.
    - `unit.flops(outer, inner)`: operations when the first convolution is evaluated at `outer`
      positions and everything after it at `inner` positions (int64 [B] each).
    - `unit.outer_stride`: stride at which the first convolution's positions lie (1 or `stride`).

    Tiled and auto execution ask for four more. This class has the first two, for which the output
    is read a second time; a unit may know them for less:

    - `unit.output_and_mean(inputs, valid=)`: the whole unit in inference, and the mean of its
      output over the positions of each image, [B, C].
    - `unit.residual_and_sum(inputs, counted, valid=)`: f(x) in inference, and its sum over the
      `counted` positions (bool [B, H, W]) of each image, [B, C].
    - `unit.reach`: number of 3x3 convolutions in a row, which is how far f reads.
    - `unit.residual_rows(active, ring, rows, batch, training=)`: f at the active positions alone,
      as rows [A, C], and its sum over those of each image, [B, C]. `active` and `ring` are the
      states at the positions that `rows` (an `ActiveRows`) tells; `batch` is the number of images.

    `valid`, `outer` and `inner` are bool maps [B, H, W] or None. `valid` marks what is not padding;
    batch statistics are taken over `outer` up to the first convolution, over `inner` after it, and
    over `valid` where these are None.

    Args:
        filters: channels inside the unit.
        stride: 1 or 2.
        negative_slope: slope of the leaky ReLU for negative inputs; 0 is the plain ReLU.
        weight_decay: see `Convolution`.
        batch_norm: dict of arguments of `BatchNormalization` (epsilon, momentum, synchronized).
    """

    def __init__(
        self, filters, stride=1, negative_slope=0.0, weight_decay=0.0, batch_norm=None, **kwargs
    ):
        super().__init__(**kwargs)
        if filters < 1 or stride not in (1, 2):
            raise ValueError(
                f"Expected filters >= 1 and stride 1 or 2, received filters={filters}, "
                f"stride={stride}"
            )
        self.filters = filters
        self.stride = stride
        self.negative_slope = negative_slope
        self.weight_decay = weight_decay
        self.batch_norm = dict(batch_norm or {})

    @property
    def out_channels(self):
        raise NotImplementedError

    def output_and_mean(self, inputs, valid=None):
        """The unit in inference and its output's mean over each image, [B, C]."""
        output = self(inputs, training=False, valid=valid)
        return output, mean_over(at_least_float32(output), subsample(valid, self.stride))

    def residual_and_sum(self, inputs, counted, valid=None):
        """f(x) in inference and its sum over the counted positions of each image, [B, C]."""
        residual = self.residual(inputs, training=False, valid=valid)
        return residual, sum_at(at_least_float32(residual), counted)

    def activate(self, inputs):
        return leaky_relu(inputs, self.negative_slope)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        strided = [None if size is None else -(-size // self.stride) for size in (height, width)]
        return (batch, *strided, self.out_channels)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "stride": self.stride,
            "negative_slope": self.negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }

    def _normalization(self, name):
        return BatchNormalization(name=name, dtype=self.dtype_policy, **self.batch_norm)

    def _convolution(self, filters, size, name, **kwargs):
        return Convolution(
            filters,
            size,
            weight_decay=self.weight_decay,
            name=name,
            dtype=self.dtype_policy,
            **kwargs,
        )
