"""Which boxes are examples of an object, which of background, and which of neither.

B images, N boxes (anchors or regions), M ground truth boxes, padded.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.detection.geometry.boxes import has_area

# Share of a box that lies in a crowd, from which on it says nothing about background.
CROWD_OVERLAP = 0.5


class GroundTruth(NamedTuple):
    """Ground truth with one more, empty slot at the end, so that M is never 0.

    Attributes:
        boxes: float32 [B, M, 4].
        classes: int32 [B, M].
        exists: bool [B, M], whether a slot holds an object to be found.
        crowd: bool [B, M], whether it holds a crowd of objects to be ignored.
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    exists: tf.Tensor
    crowd: tf.Tensor


class Matches(NamedTuple):
    """For each box the ground truth of largest overlap, and what follows from it.

    Attributes:
        index: int32 [B, N] into the ground truth.
        positive, negative: bool [B, N], never both.
    """

    index: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor


def prepare_ground_truth(
    boxes: tf.Tensor, classes: tf.Tensor, crowd: tf.Tensor | None = None
) -> GroundTruth:
    """Tells objects from crowds, padding and boxes without area.

    Args:
        boxes: [B, M, 4].
        classes: [B, M], -1 where there is no box.
        crowd: optional bool [B, M].

    Returns:
        `GroundTruth`.
    """
    boxes = tf.cast(tf.convert_to_tensor(boxes), tf.float32)
    classes = tf.cast(tf.convert_to_tensor(classes), tf.int32)
    crowd = tf.zeros_like(classes, tf.bool) if crowd is None else tf.cast(crowd, tf.bool)
    boxes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]])
    classes = tf.pad(classes, [[0, 0], [0, 1]], constant_values=-1)
    crowd = tf.pad(crowd, [[0, 0], [0, 1]])
    real = (classes >= 0) & has_area(boxes)
    return GroundTruth(boxes, classes, real & ~crowd, real & crowd)


def match(
    boxes: tf.Tensor,
    valid: tf.Tensor,
    truth: GroundTruth,
    positive_iou: float,
    negative_iou: float,
    force: bool = False,
) -> Matches:
    """Compares boxes with the ground truth.

    Args:
        boxes: [B, N, 4] or, the same for all images, [1, N, 4].
        valid: bool [B, N]; only these are positive or negative.
        truth: `GroundTruth`.
        positive_iou: intersection over union with an object from which on a box is positive.
        negative_iou: overlap with all objects below which it is negative.
        force: whether the best valid boxes of every object are positive, too, however little they
            overlap (arXiv:1506.01497, section 3.1.2).

    Returns:
        `Matches`. A box that lies in a crowd by half or more is no negative.
    """
    iou, in_crowd = _overlaps(boxes, truth)
    iou = tf.where(valid[..., tf.newaxis], iou, -1.0)
    best = tf.reduce_max(iou, axis=-1)
    index = tf.argmax(iou, axis=-1, output_type=tf.int32)
    positive = best >= positive_iou
    if force:
        best_of_object = tf.reduce_max(iou, axis=1, keepdims=True)
        is_best = (iou == best_of_object) & (iou > 0) & truth.exists[:, tf.newaxis]
        forced = tf.reduce_any(is_best, axis=-1)
        # Of the objects that it is the best box of, the one it overlaps most.
        overlap = tf.where(is_best, iou, -1.0)
        index = tf.where(forced, tf.argmax(overlap, axis=-1, output_type=tf.int32), index)
        positive |= forced
    negative = (best < negative_iou) & ~positive & ~in_crowd
    return Matches(index, positive & valid, negative & valid)


def _overlaps(boxes, truth):
    """IoU with the objects [B, N, M], -1 where there is none; and whether in a crowd, [B, N]."""
    from official.vision.ops import box_ops

    batch = tf.shape(truth.boxes)[0]
    boxes = tf.broadcast_to(boxes, [batch, tf.shape(boxes)[1], 4])
    iou = box_ops.bbox_overlap(boxes, truth.boxes)
    iou = tf.where(truth.exists[:, tf.newaxis], iou, -1.0)
    share = box_ops.bbox_intersection_over_area(boxes, truth.boxes)
    share = tf.where(truth.crowd[:, tf.newaxis], share, 0.0)
    return iou, tf.reduce_max(share, axis=-1) >= CROWD_OVERLAP
