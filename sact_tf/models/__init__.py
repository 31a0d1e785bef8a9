"""Keras models: backbone, classifier, and settings that reach into any model."""

from sact_tf.models.adaptive_model import AdaptiveModel
from sact_tf.models.image_classifier import ImageClassifier
from sact_tf.models.keras_application import from_keras_application, to_keras_application
from sact_tf.models.resnet_backbone import ResNetBackbone
from sact_tf.models.settings import (
    set_capacities,
    set_costs,
    set_execution,
    set_ponder_weight,
)
from sact_tf.models.weight_decay import weight_decay_loss

__all__ = [
    "AdaptiveModel",
    "ImageClassifier",
    "ResNetBackbone",
    "from_keras_application",
    "set_capacities",
    "set_costs",
    "set_execution",
    "set_ponder_weight",
    "to_keras_application",
    "weight_decay_loss",
]
