"""The Region Proposal Network by position, and its proposals against Model Garden's."""

import numpy as np
import tensorflow as tf

from sact_tf.detection.detector_options import DetectorOptions
from sact_tf.detection.geometry.anchors import anchor_grid, cell_anchors
from sact_tf.detection.rpn import RegionProposalNetwork, propose_regions
from tests.harness import check_config, padded_batch, randomize

OPTIONS = DetectorOptions(3, anchor_sizes=(16, 32), rpn_channels=5)
SHARED = {
    "negative_slope": 0.1,
    "weight_decay": 0.01,
    "batch_norm": {"epsilon": 0.01, "momentum": 0.7},
    "name": "mine",
}


def test_config():
    restored = check_config(lambda: RegionProposalNetwork(OPTIONS, 8, **SHARED))
    assert restored.options == OPTIONS


def test_region_proposal_network_by_position():
    """Anchors of a position are neighbours in the result; the padding is not read."""
    network = RegionProposalNetwork(OPTIONS, 8, **SHARED)
    network.build((None, None, None, 3))
    randomize(network)
    images, batch, valid = padded_batch([(4, 7), (3, 2)], 4, 7)
    logits, codes = network(tf.constant(batch), valid=tf.constant(valid))
    assert logits.shape == (2, 4 * 7 * 6) and codes.shape == (2, 4 * 7 * 6, 4)
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        alone, alone_codes = network(tf.constant(image[np.newaxis]))
        ours = tf.reshape(logits[index], [4, 7, 6])[:height, :width]
        np.testing.assert_allclose(ours, tf.reshape(alone, [height, width, 6]), atol=1e-5)
        ours = tf.reshape(codes[index], [4, 7, 6, 4])[:height, :width]
        expected = tf.reshape(alone_codes, [height, width, 6, 4])
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def proposals(rng, num=20, candidates=1000, valid=None, height=4, width=6):
    cell = cell_anchors((24, 48), (0.5, 1, 2), 16)
    anchors = anchor_grid(cell, height, width, 16)
    number = int(anchors.shape[0])
    logits = rng.normal(size=[2, number]).astype("float32")
    codes = rng.normal(size=[2, number, 4]).astype("float32")
    valid = np.ones([2, number], bool) if valid is None else valid
    sizes = tf.constant([[64.0, 96], [64, 96]])
    regions, scores, exists = propose_regions(
        tf.constant(logits), tf.constant(codes), anchors, tf.constant(valid), sizes, num,
        candidates, 0.7,
    )  # fmt: skip
    return (logits, codes, anchors), (regions.numpy(), scores.numpy(), exists.numpy())


def test_proposals_are_model_gardens():
    from official.vision.modeling.layers import roi_generator

    (logits, codes, anchors), (regions, scores, exists) = proposals(np.random.default_rng(0))
    generate = roi_generator.MultilevelROIGenerator(
        test_num_proposals=20, test_pre_nms_min_size_threshold=1.0, test_nms_iou_threshold=0.7
    )
    weights = np.array([10.0, 10, 5, 5], "float32")  # its code has none
    theirs, their_scores = generate(
        {"4": tf.constant((codes / weights).reshape(2, 4, 6, 24))},
        {"4": tf.constant(logits.reshape(2, 4, 6, 6))},
        {"4": tf.tile(anchors[tf.newaxis], [2, 1, 1])},
        tf.constant([[64.0, 96], [64, 96]]),
        training=False,
    )
    assert exists.all()
    np.testing.assert_allclose(scores, their_scores, rtol=1e-5)
    np.testing.assert_allclose(regions, theirs, atol=1e-3)


def test_proposals_lie_inside_and_come_from_valid_anchors():
    valid = np.zeros([2, 144], bool)
    valid[0, :6] = True  # the six anchors of the first position
    _, (regions, scores, exists) = proposals(np.random.default_rng(1), valid=valid)
    assert 0 < exists[0].sum() <= 6 and not exists[1].any()
    assert (regions[~exists] == 0).all() and (scores[~exists] == 0).all()
    kept = regions[exists]
    assert (kept[:, 2:] > kept[:, :2]).all()
    assert (kept >= 0).all() and (kept[:, 2] <= 64).all() and (kept[:, 3] <= 96).all()


def test_fewer_candidates_by_score():
    (logits, _, _), (_, scores, exists) = proposals(np.random.default_rng(2), candidates=3)
    assert exists.sum(axis=1).max() <= 3
    np.testing.assert_allclose(scores[:, 0], 1 / (1 + np.exp(-logits.max(axis=1))), rtol=1e-5)
