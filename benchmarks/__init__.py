"""Measurements that anyone can repeat; see docs/performance.md."""

import os

# Before TensorFlow is imported, for the same reason as in `train`.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
