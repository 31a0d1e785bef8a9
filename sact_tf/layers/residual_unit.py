"""What every residual unit shares, and the interface that an adaptive block asks of a unit."""

from typing import Any

import tensorflow as tf

from sact_tf.layers.network_layer import NetworkLayer
from sact_tf.ops.positions import mean_over, strided_size, subsample, sum_over, times
from sact_tf.ops.precision import at_least_float32


class ResidualUnit(NetworkLayer):
    """Base of pre-activation residual units: x + f(x) (arXiv:1612.02297, eq. 2).

    A unit knows nothing of halting. `AdaptiveBlock` takes any layer that has:

    - `stride`: 1 or 2, an int. Only entry units of a block may have 2 or change the channels.
    - `unit(inputs, training=, valid=)`: the whole unit, shortcut included.
    - `unit.residual(inputs, training=, valid=, outer=, inner=)`: f(x) alone, of the shape of x, for
      a unit with stride 1 and an identity shortcut.
    - `unit.flops(outer, inner)`: operations when the first convolution is evaluated at `outer`
      positions and everything after it at `inner` positions (int64 [B] each).
    - `unit.outer_stride`: stride at which the first convolution's positions lie (1 or `stride`).

    Tiled and auto execution ask for some more. This class has the first two, for which the output
    is read a second time; a unit may know them for less:

    - `unit.output_and_mean(inputs, valid=)`: the whole unit in inference, and the mean of its
      output over the positions of each image, [B, C].
    - `unit.advance(inputs, active, valid=)`: x + f(x) in inference at the `active` positions (bool
      [B, H, W]), x elsewhere, and the sum of f(x) over those of each image, [B, C].
    - `unit.reach`: number of 3x3 convolutions in a row, which is how far f reads.
    - `unit.residual_rows(active, ring, rows, batch, training=)`: f at the active positions alone,
      as rows [A, C], and its sum over those of each image, [B, C]. `active` and `ring` are the
      states at the positions that `rows` (an `ActiveRows`) tells; `batch` is the number of images.

    - `unit.residual_windows(windows, inside)`: f in inference in the middle of windows, a batch of
      small maps [A, h + 2 reach, w + 2 reach, C], of which `inside` (bool, without channels) says
      what is inside the image: [A, h, w, C]. A unit without it runs on rows.

    Static execution takes one method where a unit has it, else it computes the whole map:

    - `unit.residual_at(inputs, rows, training=, valid=, outer=)`: f at `rows` (`StaticRows`) of the
      states [B, H, W, C], as [R, C], and its sum over those of each image, [B, C]; batch
      statistics of what is computed there are those of `rows.held`.

    `valid`, `outer` and `inner` are bool maps [B, H, W] or None. `valid` marks what is not padding;
    batch statistics are taken over `outer` up to the first convolution, over `inner` after it, and
    over `valid` where these are None.

    Args:
        filters: channels inside the unit.
        stride: 1 or 2.
        **kwargs: see `NetworkLayer`.
    """

    reach: int

    def __init__(self, filters: int, stride: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if filters < 1 or stride not in (1, 2):
            raise ValueError(
                f"Expected filters >= 1 and stride 1 or 2, received filters={filters}, "
                f"stride={stride}"
            )
        self.filters = filters
        self.stride = stride

    @property
    def out_channels(self) -> int:
        """Channels of the unit's output."""
        raise NotImplementedError

    @property
    def outer_stride(self) -> int:
        """Stride at which the first convolution's positions lie."""
        return self.stride

    def flops(self, outer: tf.Tensor | int, inner: tf.Tensor | int) -> tf.Tensor:
        """Operations at numbers of positions, see above; int64, of the shape of the numbers."""
        raise NotImplementedError

    def flops_of(self, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
        """Operations for a whole map of height x width at the unit's input, an int64 scalar."""
        inner = strided_size(height, self.stride) * strided_size(width, self.stride)
        return self.flops(height * width if self.outer_stride == 1 else inner, inner)

    def output_and_mean(
        self, inputs: tf.Tensor, valid: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The unit in inference and its output's mean over each image, [B, C]."""
        output = self(inputs, training=False, valid=valid)
        return output, mean_over(at_least_float32(output), subsample(valid, self.stride))

    def advance(
        self, inputs: tf.Tensor, active: tf.Tensor, valid: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """x + f(x) at the active positions, x elsewhere, and the sum of f(x); see above."""
        residual = self.residual(inputs, training=False, valid=valid)
        residual = tf.cond(tf.reduce_all(active), lambda: residual, lambda: times(residual, active))
        return inputs + residual, sum_over(at_least_float32(residual))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, _ = input_shape
        strided = [strided_size(size, self.stride) for size in (height, width)]
        return (batch, *strided, self.out_channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "stride": self.stride}
