"""Pure TensorFlow functions, from the halting algebra to rows. No Keras, no variables."""

from sact_tf.ops import (
    activation,
    active_rows,
    flops,
    halting,
    positions,
    precision,
    row_convolution,
    tiles,
)

__all__ = [
    "activation",
    "active_rows",
    "flops",
    "halting",
    "positions",
    "precision",
    "row_convolution",
    "tiles",
]
