"""What the two stages of a detector are trained to say about the ground truth.

B images, N anchors, P proposals, K sampled ones, M ground truth boxes.
"""

import collections

import tensorflow as tf

from sact_tf.detection.boxes import encode_boxes
from sact_tf.detection.matching import match
from sact_tf.detection.sampling import random_uniform, sample

# As in the paper's pipeline (arXiv:1506.01497, section 3.1.3; arXiv:1504.08083, section 2.3).
ANCHOR_IOU = (0.7, 0.3)
ANCHOR_POSITIVES = 0.5
REGION_IOU = (0.5, 0.5)
REGION_POSITIVES = 0.25

Targets = collections.namedtuple("Targets", "index chosen is_object classes codes")
Targets.__doc__ = """Targets of the sampled anchors or regions.

Fields: index int32 [B, K] into the candidates; chosen bool [B, K], false in unused slots;
is_object bool [B, K]; classes int32 [B, K], 0 for background and 1.. for objects; codes [B, K, 4],
the object's box relative to the candidate, 0 where there is none.
"""


def anchor_targets(anchors, anchor_keys, valid, truth, image_keys, size):
    """Targets of the Region Proposal Network.

    Args:
        anchors: [N, 4].
        anchor_keys: int32 [N], see `position_keys`.
        valid: bool [B, N], anchors at positions of the image.
        truth: `GroundTruth`.
        image_keys: uint32 [B], see `sact_tf.detection.sampling`.
        size: K, anchors to choose for an image, half of them positive at most.

    Returns:
        `Targets`.
    """
    matches = match(anchors[tf.newaxis], valid, truth, *ANCHOR_IOU, force=True)
    numbers = random_uniform(image_keys, anchor_keys)
    index, chosen = sample(numbers, matches.positive, matches.negative, size, ANCHOR_POSITIVES)
    return _targets(tf.gather(anchors, index), index, chosen, matches, truth)


def sample_regions(regions, exists, truth, image_keys, size):
    """Regions for the box classifier to learn from, and their targets.

    The objects themselves are added to the proposals.

    Args:
        regions: proposals [B, P, 4].
        exists: bool [B, P].
        truth, image_keys: as in `anchor_targets`.
        size: K, regions to choose for an image, a quarter of them positive at most.

    Returns:
        `(regions, targets)`: [B, K, 4] and `Targets`.
    """
    regions = tf.stop_gradient(tf.concat([regions, truth.boxes], axis=1))
    exists = tf.concat([exists, truth.exists], axis=1)
    matches = match(regions, exists, truth, *REGION_IOU)
    numbers = random_uniform(image_keys, tf.range(tf.shape(regions)[1]))
    index, chosen = sample(numbers, matches.positive, matches.negative, size, REGION_POSITIVES)
    regions = tf.gather(regions, index, batch_dims=1)
    return regions, _targets(regions, index, chosen, matches, truth)


def _targets(boxes, index, chosen, matches, truth):
    is_object = tf.gather(matches.positive, index, batch_dims=1) & chosen
    matched = tf.gather(matches.index, index, batch_dims=1)
    classes = tf.gather(truth.classes, matched, batch_dims=1)
    codes = encode_boxes(tf.gather(truth.boxes, matched, batch_dims=1), boxes)
    return Targets(
        index,
        chosen,
        is_object,
        tf.where(is_object, classes + 1, 0),
        tf.where(is_object[..., tf.newaxis], codes, 0.0),
    )
