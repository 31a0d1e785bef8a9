import numpy as np
import tensorflow as tf

from sact_tf.detection.box_head import BoxHead
from sact_tf.detection.region_proposal import RegionProposalNetwork
from tests.harness import check_config, padded_batch, randomize

SHARED = {
    "negative_slope": 0.1,
    "weight_decay": 0.01,
    "batch_norm": {"epsilon": 0.01, "momentum": 0.7},
    "name": "mine",
}


def test_configs():
    check_config(lambda: RegionProposalNetwork(5, 6, **SHARED))
    check_config(lambda: BoxHead(4, pools_first=True, **SHARED))


def test_region_proposal_network_by_position():
    """Anchors of a position are neighbours in the result; the padding is not read."""
    network = RegionProposalNetwork(5, 6, **SHARED)
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


def test_box_head_leaves_missing_regions_out_of_its_statistics():
    rng = np.random.default_rng(0)
    regions = tf.constant(rng.normal(size=[5, 3, 3, 8]), tf.float32)
    exists = tf.constant([True, False, True, True, False])
    for pools_first in (True, False):
        head = BoxHead(4, pools_first=pools_first, **SHARED)
        head.build(regions.shape)
        logits, codes = head(regions, training=True, exists=exists)
        assert logits.shape == (5, 5) and codes.shape == (5, 4, 4)
        kept = tf.boolean_mask(regions, exists).numpy()
        kept = kept.mean(axis=(1, 2)) if pools_first else kept.reshape(-1, 8)
        np.testing.assert_allclose(head.postnorm.moving_mean, 0.3 * kept.mean(axis=0), atol=1e-5)
