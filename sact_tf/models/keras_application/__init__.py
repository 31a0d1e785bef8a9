"""To and from the ResNet V2 networks of `keras.applications`."""

from sact_tf.models.keras_application.convert import from_keras_application, to_keras_application

__all__ = ["from_keras_application", "to_keras_application"]
