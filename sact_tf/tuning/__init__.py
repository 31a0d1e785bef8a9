"""Measures on this machine what "tiled" and "auto" execution choose by."""

from sact_tf.tuning.measuring import tune

__all__ = ["tune"]
