"""The examples that a stage learns from, and what it should say of them, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.detection import box_classifier, rpn
from sact_tf.detection.geometry.boxes import decode_boxes
from sact_tf.detection.geometry.matching import prepare_ground_truth
from sact_tf.detection.geometry.targets import sample_targets

OBJECTS = [[0.0, 0, 10, 10], [50, 50, 60, 60]]
# IoU with the first object 1, 0.8, 0.4, 0.2; with the second 0.2; the last is background.
CANDIDATES = [[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 4], [0, 0, 10, 2], [50, 50, 60, 52],
              [80, 80, 90, 90]]  # fmt: skip
NUMBERS = tf.constant([[0.1, 0.9, 0.5, 0.8, 0.4, 0.2]])


def targets_of(rule, size, candidates=CANDIDATES, valid=(True,) * 6):
    truth = prepare_ground_truth(tf.constant([OBJECTS]), [[4, 7]])
    return sample_targets(
        tf.constant([candidates]), tf.constant([valid]), truth, NUMBERS, size, rule
    )


@pytest.mark.parametrize(
    ("rule", "objects", "background"),
    [
        # The fifth is the best of its object; the third is neither.
        (rpn.SAMPLING, {0: 5, 1: 5, 4: 8}, {3, 5}),
        (box_classifier.SAMPLING, {0: 5, 1: 5}, {2, 3, 4, 5}),
    ],
)
def test_examples_of_a_stage(rule, objects, background):
    targets = targets_of(rule, 16)
    index, chosen = targets.index[0].numpy(), targets.chosen[0].numpy()
    is_object, classes = targets.is_object[0].numpy(), targets.classes[0].numpy()
    assert set(index[chosen]) == {*objects, *background}
    assert dict(zip(index[is_object], classes[is_object], strict=True)) == objects
    assert not classes[~is_object].any() and not targets.codes[0].numpy()[~is_object].any()
    np.testing.assert_array_equal(targets.boxes[0], np.array(CANDIDATES)[index])
    boxes = decode_boxes(targets.codes, targets.boxes)[0].numpy()[is_object]
    expected = np.array(OBJECTS)[(classes[is_object] > 5).astype(int)]
    np.testing.assert_allclose(boxes, expected, atol=1e-4)


def test_positives_have_their_share():
    index = targets_of(rpn.SAMPLING, 4).index[0].numpy()
    assert set(index) == {1, 4, 3, 5}  # two by two, of the highest numbers
    index = targets_of(box_classifier.SAMPLING, 4).index[0].numpy()
    assert set(index) == {1, 3, 2, 4}  # one, then three


def test_candidates_shared_by_the_images():
    boxes = tf.constant([OBJECTS, OBJECTS[::-1]])
    truth = prepare_ground_truth(boxes, [[4, -1], [7, -1]])
    valid, numbers = tf.ones([2, 6], tf.bool), tf.repeat(NUMBERS, 2, axis=0)
    targets = sample_targets(
        tf.constant([CANDIDATES]), valid, truth, numbers, 16, box_classifier.SAMPLING
    )
    for image, objects in enumerate([{0, 1}, set()]):
        is_object = targets.is_object[image].numpy()
        assert set(targets.index[image].numpy()[is_object]) == objects
    np.testing.assert_array_equal(
        targets.boxes, np.array(CANDIDATES)[targets.index.numpy()].astype("float32")
    )
