"""Keras layers: halting scores, residual units and the adaptive block."""

from sact_tf.layers.adaptive_block import AdaptiveBlock
from sact_tf.layers.basic_unit import BasicUnit
from sact_tf.layers.batch_normalization import BatchNormalization
from sact_tf.layers.bottleneck_unit import BottleneckUnit
from sact_tf.layers.classifier_head import ClassifierHead
from sact_tf.layers.convolution import Convolution
from sact_tf.layers.halting_score import HaltingScore
from sact_tf.layers.residual_unit import ResidualUnit
from sact_tf.layers.stem import Stem

__all__ = [
    "AdaptiveBlock",
    "BasicUnit",
    "BatchNormalization",
    "BottleneckUnit",
    "ClassifierHead",
    "Convolution",
    "HaltingScore",
    "ResidualUnit",
    "Stem",
]
