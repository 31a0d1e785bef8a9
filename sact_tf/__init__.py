"""Residual networks with spatially adaptive computation time (arXiv:1612.02297)."""

# ruff: noqa: E402  (what is imported below builds on the backend)
import os as _os
import sys as _sys

_KERAS = _sys.modules.get("keras")
# Keras itself fails without a word of this where the backend is not installed.
_BACKEND = _KERAS.config.backend() if _KERAS else _os.environ.get("KERAS_BACKEND") or "tensorflow"
if _BACKEND != "tensorflow":
    raise ImportError(
        "sact_tf needs Keras on TensorFlow: expected the Keras backend to be 'tensorflow', "
        f"received {_BACKEND!r}; set KERAS_BACKEND=tensorflow before Keras is imported"
    )

from sact_tf import budget, checkpoints, detection, layers, models, ops, saliency, tuning
from sact_tf.models import (
    set_capacities,
    set_costs,
    set_execution,
    set_ponder_weight,
    weight_decay_loss,
)
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
    "set_capacities",
    "set_costs",
    "set_execution",
    "set_ponder_weight",
    "tuning",
    "weight_decay_loss",
]
