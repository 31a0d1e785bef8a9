"""Pure TensorFlow functions: halting algebra, tiles and FLOPs. No Keras, no variables."""

from sact_tf.ops import flops, halting, positions, tiles

__all__ = ["flops", "halting", "positions", "tiles"]
