"""Data sets of images with boxes."""

from sact_tf.detection.data.coco_annotations import read_annotations
from sact_tf.detection.data.coco_folder import CocoFolder
from sact_tf.detection.data.detection_data import DetectionData
from sact_tf.detection.data.digit_scenes import DigitScenes
from sact_tf.detection.data.tfds_coco import TfdsCoco

__all__ = ["CocoFolder", "DetectionData", "DigitScenes", "TfdsCoco", "read_annotations"]
