"""Short programs to start from: `python -m examples.NAME`, or copied into your own project."""

import os

# Before TensorFlow is imported: its notices would bury a program's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
