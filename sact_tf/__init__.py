"""Residual networks with spatially adaptive computation time (arXiv:1612.02297)."""

# ruff: noqa: E402  (what is imported below builds on the backend)
import os as _os
import sys as _sys

# `python -m` of a module imports the packages around it first, with "-m" in place of its name. The
# server's log level has to be set before TensorFlow is imported; see train/__init__.py.
if _sys.argv[:1] == ["-m"] and "sact_tf.serving.rest" in _sys.orig_argv:
    if "--verbose" in _sys.argv:
        _os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
    else:
        _os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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
