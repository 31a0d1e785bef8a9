"""Reading the checkpoints that the authors' TensorFlow-1 programs wrote.

`python -m train.convert_checkpoint` is the command line around `convert_checkpoint`.
"""

from sact_tf.checkpoints import tf1
from sact_tf.checkpoints.convert import convert_checkpoint
from sact_tf.checkpoints.labels import BACKGROUND, with_background
from sact_tf.checkpoints.tf1 import LoadedCheckpoint, load_checkpoint, model_from_variables
from sact_tf.checkpoints.tf1_architecture import Tf1Architecture, infer_architecture
from sact_tf.checkpoints.tf1_names import variable_map

__all__ = [
    "BACKGROUND",
    "LoadedCheckpoint",
    "Tf1Architecture",
    "convert_checkpoint",
    "infer_architecture",
    "load_checkpoint",
    "model_from_variables",
    "tf1",
    "variable_map",
    "with_background",
]
