"""The losses of both stages of a `FasterRCNN` on a batch."""

import tensorflow as tf

from sact_tf.detection.losses import box_loss, class_loss, score_loss
from sact_tf.detection.stages import classify
from sact_tf.detection.targets import anchor_targets, sample_regions


def proposal_losses(detector, scene, truth, keys):
    """Losses of the Region Proposal Network.

    Args:
        detector: `FasterRCNN`.
        scene: what `stages.look` returned.
        truth: `GroundTruth`.
        keys: uint32 [B], see `sampling.image_keys`.

    Returns:
        Dict of the scalars `rpn_score` and `rpn_box`.
    """
    targets = anchor_targets(
        scene["anchors"],
        scene["anchor_keys"],
        scene["anchor_valid"],
        truth,
        keys,
        detector.options["sampled_anchors"],
    )
    logits = tf.gather(scene["rpn_logits"], targets.index, batch_dims=1)
    codes = tf.gather(scene["rpn_codes"], targets.index, batch_dims=1)
    distance = box_loss(codes, targets.codes, targets.is_object, targets.chosen)
    return {
        "rpn_score": score_loss(logits, targets.is_object, targets.chosen),
        "rpn_box": detector.options["box_loss_weight"] * distance,
    }


def classifier_losses(detector, scene, truth, keys, training):
    """Losses of the box classifier.

    Args:
        detector, scene, truth, keys: as in `proposal_losses`.
        training: whether batch normalization uses the statistics of this batch.

    Returns:
        Dict of the scalars `class` and `box`.
    """
    regions, targets = sample_regions(
        scene["regions"],
        scene["region_exists"],
        truth,
        keys,
        detector.options["sampled_regions"],
    )
    logits, codes = classify(detector, scene, regions, targets.chosen, training)
    codes = tf.gather(codes, tf.maximum(targets.classes - 1, 0), batch_dims=2)
    distance = box_loss(codes, targets.codes, targets.is_object, targets.chosen)
    return {
        "class": class_loss(logits, targets.classes, targets.chosen),
        "box": detector.options["box_loss_weight"] * distance,
    }
