"""Pure TensorFlow functions: halting algebra, tiles and FLOPs. No Keras, no variables."""

from sact_tf.ops import activation, flops, halting, positions, tiles

__all__ = ["activation", "flops", "halting", "positions", "tiles"]
