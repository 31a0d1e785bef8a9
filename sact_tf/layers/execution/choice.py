"""Which form costs least for what is active."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sact_tf.layers.costs import Line
from sact_tf.layers.execution.interface import CompactForm


class PricedForm(NamedTuple):
    """A compact form and what it costs, over a dense unit: `(fixed, each)` of its share."""

    form: CompactForm
    line: Line

    def cost(self, active: tf.Tensor) -> tf.Tensor:
        """Cost of a unit at the active positions: bool [B, H, W] -> float32 scalar."""
        fixed, each = self.line
        return fixed + each * tf.cast(self.form.share(active), tf.float32)


def cheapest(costs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Number of the lowest of some float32 scalars, of the first of equal ones: int32."""
    return tf.argmin(tf.stack(costs), output_type=tf.int32)
