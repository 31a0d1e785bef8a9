"""A trained model to a SavedModel that needs neither this package nor Keras."""

from sact_tf.serving.export.saved_model import export

__all__ = ["export"]
