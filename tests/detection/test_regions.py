import numpy as np
import tensorflow as tf

from sact_tf.detection.anchors import anchor_grid, cell_anchors
from sact_tf.detection.regions import crop_regions, propose_regions


def ramp(height, width):
    """Features whose two channels are the row and the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns], axis=-1)[np.newaxis].astype("float32")


class TestCrops:
    def crop(self, features, region, image_size, map_size, crop_size=3):
        return crop_regions(
            tf.constant(features),
            tf.constant([[region]], tf.float32),
            tf.constant([image_size], tf.float32),
            tf.constant([map_size], tf.float32),
            crop_size,
        ).numpy()[0]

    def test_whole_image(self):
        crop = self.crop(ramp(5, 9), [0, 0, 80, 144], (80, 144), (5, 9))
        np.testing.assert_allclose(crop[:, 0, 0], [0, 2, 4], atol=1e-4)
        np.testing.assert_allclose(crop[0, :, 1], [0, 4, 8], atol=1e-4)

    def test_a_part_by_hand(self):
        # 20 of 80 pixels are a quarter of the way through the four steps between rows.
        crop = self.crop(ramp(5, 9), [20, 36, 40, 108], (80, 144), (5, 9))
        np.testing.assert_allclose(crop[:, 0, 0], [1, 1.5, 2], atol=1e-4)
        np.testing.assert_allclose(crop[0, :, 1], [2, 4, 6], atol=1e-4)

    def test_padding_is_not_read(self):
        features = np.full([1, 7, 12, 2], -1e6, "float32")
        features[:, :5, :9] = ramp(5, 9)
        for region in ([0, 0, 80, 144], [20, 36, 80, 144], [79, 143, 80, 144]):
            alone = self.crop(ramp(5, 9), region, (80, 144), (5, 9))
            padded = self.crop(features, region, (80, 144), (5, 9))
            # Each lies at most a millionth of a step outside.
            np.testing.assert_allclose(padded, alone, atol=15)

    def test_no_size_loses_its_last_row(self):
        for size in range(1, 200):
            crop = self.crop(ramp(size, 1) + 1, [0, 0, size * 16, 16], (size * 16, 16), (size, 1))
            np.testing.assert_allclose(crop[-1, -1], [size, 1], rtol=1e-3)

    def test_gradient_reaches_the_features_read(self):
        features = tf.Variable(ramp(6, 6))
        with tf.GradientTape() as tape:
            crops = crop_regions(
                features,
                tf.constant([[[0.0, 0, 30, 30]]]),
                tf.constant([[60.0, 60]]),
                tf.constant([[6.0, 6]]),
                4,
            )
            total = tf.reduce_sum(crops)
        gradient = tape.gradient(total, features)[0, :, :, 0].numpy()
        assert (gradient[:3, :3] > 0).all() and not gradient[4:].any() and not gradient[:, 4:].any()


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
