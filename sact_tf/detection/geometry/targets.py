"""Examples for a stage of a detector to learn from, and what it should say of them.

B images, N candidates (anchors or regions), K chosen ones, M ground truth boxes.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.detection.geometry.boxes import encode_boxes
from sact_tf.detection.geometry.matching import GroundTruth, match
from sact_tf.detection.geometry.sampling import sample


class SamplingRule(NamedTuple):
    """Which candidates are examples.

    Attributes:
        positive_iou, negative_iou, force: see `match`.
        positive_share: largest share of positives among the chosen.
    """

    positive_iou: float
    negative_iou: float
    positive_share: float
    force: bool = False


class Targets(NamedTuple):
    """The chosen candidates and their targets.

    Attributes:
        index: int32 [B, K] into the candidates.
        boxes: [B, K, 4], the candidates themselves.
        chosen: bool [B, K], false in unused slots.
        is_object: bool [B, K].
        classes: int32 [B, K], 0 for background and 1.. for objects.
        codes: [B, K, 4], the object's box relative to the candidate, 0 where there is none.
    """

    index: tf.Tensor
    boxes: tf.Tensor
    chosen: tf.Tensor
    is_object: tf.Tensor
    classes: tf.Tensor
    codes: tf.Tensor


def sample_targets(
    boxes: tf.Tensor,
    valid: tf.Tensor,
    truth: GroundTruth,
    numbers: tf.Tensor,
    size: int,
    rule: SamplingRule,
) -> Targets:
    """Chooses examples among candidates at random, and derives their targets.

    Args:
        boxes: the candidates, [B, N, 4] or, the same for all images, [1, N, 4].
        valid: bool [B, N]; only these are chosen.
        truth: `GroundTruth`.
        numbers: float32 [B, N], random in [0, 1).
        size: K, candidates to choose for an image.
        rule: which ones are examples.
    """
    matches = match(boxes, valid, truth, rule.positive_iou, rule.negative_iou, rule.force)
    index, chosen = sample(numbers, matches.positive, matches.negative, size, rule.positive_share)
    boxes = tf.broadcast_to(boxes, [tf.shape(index)[0], tf.shape(boxes)[1], 4])
    boxes = tf.gather(boxes, index, batch_dims=1)
    is_object = tf.gather(matches.positive, index, batch_dims=1) & chosen
    matched = tf.gather(matches.index, index, batch_dims=1)
    classes = tf.gather(truth.classes, matched, batch_dims=1)
    codes = encode_boxes(tf.gather(truth.boxes, matched, batch_dims=1), boxes)
    return Targets(
        index,
        boxes,
        chosen,
        is_object,
        tf.where(is_object, classes + 1, 0),
        tf.where(is_object[..., tf.newaxis], codes, 0.0),
    )
