"""Residual networks with spatially adaptive computation time (arXiv:1612.02297)."""

from sact_tf import budget, checkpoints, detection, layers, models, ops, saliency
from sact_tf.models import set_execution, set_ponder_weight, weight_decay_loss
from sact_tf.version import __version__

__all__ = [
    "__version__",
    "budget",
    "checkpoints",
    "detection",
    "layers",
    "models",
    "ops",
    "saliency",
    "set_execution",
    "set_ponder_weight",
    "weight_decay_loss",
]
