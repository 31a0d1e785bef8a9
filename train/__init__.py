"""The project's programs: one per job, each run as `python -m train.NAME`."""

import os
import sys

# TensorFlow reads this when it is imported, long before flags are parsed. What goes wrong there
# comes as an exception, too; its log lines would bury a program's own.
if "--verbose" in sys.argv:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
else:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
