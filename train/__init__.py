"""The project's programs: one per job, each run as `python -m train.NAME`."""

import os

# Before TensorFlow is imported: its notices at start would bury a program's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
