"""A trained model for people who do not have this package: SavedModel export, and an HTTP server.

`sact_tf.serving.export` writes, and needs Keras and the model; `sact_tf.serving.rest` serves what
was written with TensorFlow alone, so nothing is imported here.
"""
