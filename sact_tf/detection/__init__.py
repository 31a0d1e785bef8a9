"""Object detection: Faster R-CNN on a backbone with adaptive computation."""

from sact_tf.detection.faster_rcnn import FasterRCNN

__all__ = ["FasterRCNN"]
