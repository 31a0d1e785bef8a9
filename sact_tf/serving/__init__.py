"""A trained model for people who do not have this package: SavedModel export, and an HTTP server.

`export` writes, and needs Keras and the model. `server` serves what was written with TensorFlow
and Pillow alone; `python -m sact_tf.serving.rest` starts it. Neither imports the other.
"""

import pathlib

# What the export says about itself: beside the SavedModel's own files, which TensorFlow Serving
# leaves alone.
DESCRIPTION = pathlib.Path("assets.extra") / "sact_tf.json"
