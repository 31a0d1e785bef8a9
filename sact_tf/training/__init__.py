"""Training, evaluation and reports of whole runs: what the programs of `train/` call.

Needs the extra `train` (`pip install '.[train]'`).
"""
