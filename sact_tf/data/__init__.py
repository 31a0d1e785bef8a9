"""Data sets for classification, and the preprocessing of images."""

from sact_tf.data.classification_data import ImageClassificationData
from sact_tf.data.cluttered_digits import ClutteredDigits
from sact_tf.data.image_folder import ImageFolder
from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import evaluation_function, training_function
from sact_tf.data.tfds_data import TfdsClassification

__all__ = [
    "ClutteredDigits",
    "ImageClassificationData",
    "ImageFolder",
    "TfdsClassification",
    "evaluation_function",
    "read_image",
    "training_function",
]
