"""The losses of both stages by hand, and against Model Garden's."""

import numpy as np
import tensorflow as tf

from sact_tf.detection import losses


def test_scores_by_hand():
    logits = tf.constant([[0.0, 2.0, 9.0], [0.0, 0.0, 0.0]])
    is_object = tf.constant([[True, False, False], [True, True, False]])
    chosen = tf.constant([[True, True, False], [True, False, False]])
    first = (np.log(2) + np.log1p(np.exp(2))) / 2
    value = losses.score_loss(logits, is_object, chosen)
    np.testing.assert_allclose(value, (first + np.log(2)) / 2, rtol=1e-6)


def test_scores_are_model_gardens_where_the_sample_is_full():
    from official.vision.losses import maskrcnn_losses

    rng = np.random.default_rng(0)
    logits = rng.normal(size=[2, 3, 4, 5]).astype("float32")
    labels = rng.integers(0, 2, size=[2, 3, 4, 5]).astype("int32")
    labels[:, 0] = -1
    theirs = maskrcnn_losses.RpnScoreLoss(rpn_batch_size_per_im=40)(
        {"4": tf.constant(logits)}, {"4": tf.constant(labels)}
    )
    flat = labels.reshape(2, -1)
    ours = losses.score_loss(tf.constant(logits.reshape(2, -1)), flat == 1, flat >= 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_classes_by_hand():
    logits = tf.math.log([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.9, 0.05, 0.05]]])
    chosen = tf.constant([[True, True, False]])
    value = losses.class_loss(logits, tf.constant([[0, 2, 1]]), chosen)
    np.testing.assert_allclose(value, -(np.log(0.5) + np.log(0.7)) / 2, rtol=1e-6)


def test_boxes_by_hand():
    codes = tf.constant([[[0.5, 0, 0, 0], [3.0, -2.0, 0, 0], [9.0, 9, 9, 9], [9.0, 9, 9, 9]]])
    is_object = tf.constant([[True, True, False, True]])
    chosen = tf.constant([[True, True, True, False]])
    value = losses.box_loss(codes, tf.zeros_like(codes), is_object, chosen)
    np.testing.assert_allclose(value, (0.125 + 2.5 + 1.5) / 3, rtol=1e-6)


def test_splitting_the_batch_changes_nothing():
    rng = np.random.default_rng(1)
    codes = tf.constant(rng.normal(size=[4, 6, 4]), tf.float32)
    is_object = tf.constant(rng.random([4, 6]) < 0.5)
    chosen = tf.constant(rng.random([4, 6]) < 0.7)
    targets = tf.zeros_like(codes)
    whole = losses.box_loss(codes, targets, is_object, chosen)
    parts = [
        losses.box_loss(codes[i : i + 2], targets[:2], is_object[i : i + 2], chosen[i : i + 2])
        for i in (0, 2)
    ]
    np.testing.assert_allclose(whole, np.mean(parts), rtol=1e-6)


def test_nothing_chosen_costs_nothing():
    none = tf.zeros([2, 3], tf.bool)
    with tf.GradientTape() as tape:
        logits = tf.Variable(tf.ones([2, 3]))
        value = losses.score_loss(logits, none, none)
    assert float(value) == 0
    np.testing.assert_array_equal(tape.gradient(value, logits), 0)
