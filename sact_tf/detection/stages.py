"""What the stages of a `FasterRCNN` compute.

B images, N anchors, P regions, C classes without background.
"""

import tensorflow as tf

from sact_tf.detection.anchors import anchor_grid, cell_anchors, position_keys
from sact_tf.detection.regions import crop_regions, propose_regions
from sact_tf.ops.positions import subsample


def image_sizes(maps, valid):
    """Height and width of each image of a padded batch: [B, H, W, ...] -> float32 [B, 2]."""
    if valid is None:
        shape = tf.shape(maps)
        return tf.tile(tf.cast(shape[tf.newaxis, 1:3], tf.float32), [shape[0], 1])
    sides = [tf.reduce_any(valid, axis=axis) for axis in (2, 1)]
    return tf.stack([tf.reduce_sum(tf.cast(side, tf.float32), axis=1) for side in sides], axis=1)


def look(detector, images, valid, training):
    """Features, and what the Region Proposal Network says of them.

    Args:
        detector: `FasterRCNN`.
        images: float32 [B, H, W, channels].
        valid: bool [B, H, W] or None.
        training: whether batch normalization uses the statistics of this batch.

    Returns:
        The dict of `ResNetBackbone.forward` for the extractor, with `map` [B, h, w, channels], its
        last features; `map_sizes` and `image_sizes` [B, 2]; `anchors` [N, 4], `anchor_keys` [N],
        `anchor_valid` [B, N]; `rpn_logits` [B, N], `rpn_codes` [B, N, 4]; and the proposals:
        `regions` [B, P, 4], `region_scores` [B, P], `region_exists` [B, P].
    """
    options = detector.options
    block, stride = detector.feature_block, detector.stride
    scene = detector.backbone.forward(images, valid, training, last_block=block)
    features, features_valid = scene["features"][block], scene["valid"][block]
    logits, codes = detector.rpn(features, training=training, valid=features_valid)
    shape, number = tf.shape(features), detector.rpn.num_anchors
    cell = cell_anchors(options["anchor_sizes"], options["aspect_ratios"], stride)
    anchors = anchor_grid(cell, shape[1], shape[2], stride)
    if features_valid is None:
        anchor_valid = tf.ones_like(logits, tf.bool)
    else:
        anchor_valid = tf.repeat(tf.reshape(features_valid, [shape[0], -1]), number, axis=1)
    sizes = image_sizes(images, valid)
    regions, scores, exists = propose_regions(
        logits,
        codes,
        anchors,
        anchor_valid,
        sizes,
        options["num_proposals"],
        options["proposal_candidates"],
        options["proposal_iou"],
    )
    return {
        **scene,
        "map": features,
        "map_sizes": image_sizes(features, features_valid),
        "image_sizes": sizes,
        "anchors": anchors,
        "anchor_keys": position_keys(shape[1], shape[2], number),
        "anchor_valid": anchor_valid,
        "rpn_logits": logits,
        "rpn_codes": codes,
        "regions": regions,
        "region_scores": scores,
        "region_exists": exists,
    }


def classify(detector, scene, regions, exists, training):
    """What the box classifier says of regions.

    Args:
        detector: `FasterRCNN`.
        scene: see `look`.
        regions: [B, P, 4].
        exists: bool [B, P]; the others do not enter the statistics of batch normalization.
        training: as in `look`.

    Returns:
        `(logits, codes)`: [B, P, 1 + C], background first, and [B, P, C, 4].
    """
    options = detector.options
    state = crop_regions(
        scene["map"], regions, scene["image_sizes"], scene["map_sizes"], options["crop_size"]
    )
    flat, valid = tf.reshape(exists, [-1]), None
    if training and not options["freeze_batch_norm"]:
        valid = tf.broadcast_to(flat[:, tf.newaxis, tf.newaxis], tf.shape(state)[:3])
    if options["adaptive_box_head"]:
        state, _ = detector.box_block(state, training=training, valid=valid)
    else:
        for unit in detector.box_block.units:
            state = unit(state, training=training, valid=valid)
            valid = subsample(valid, unit.stride)
    logits, codes = detector.box_head(state, training=training, exists=flat)
    batch, classes = tf.shape(regions)[0], options["num_classes"]
    number = regions.shape[1]
    return (
        tf.reshape(logits, [batch, number, classes + 1]),
        tf.reshape(codes, [batch, number, classes, 4]),
    )
