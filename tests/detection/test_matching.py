"""Which boxes are examples of what, by hand."""

import numpy as np
import tensorflow as tf

from sact_tf.detection.geometry.matching import match, prepare_ground_truth

OBJECT = [0.0, 0, 10, 10]
# IoU with the object: 1, 0.8, 0.5, 0.2, 0.
CANDIDATES = tf.constant([[OBJECT, [0, 0, 10, 8], [0, 0, 10, 5], [0, 0, 10, 2], [50, 50, 60, 60]]])
ALL = tf.ones([1, 5], tf.bool)


def truth(boxes, classes, crowd=None):
    boxes = np.reshape(np.asarray(boxes, np.float32), [1, -1, 4])
    return prepare_ground_truth(boxes, [classes], None if crowd is None else [crowd])


def found(matches):
    return [tensor[0].numpy().tolist() for tensor in (matches.positive, matches.negative)]


def test_thresholds():
    positive, negative = found(match(CANDIDATES, ALL, truth([OBJECT], [3]), 0.7, 0.3))
    assert positive == [True, True, False, False, False]
    assert negative == [False, False, False, True, True]


def test_thresholds_are_reached_inclusively():
    positive, negative = found(match(CANDIDATES, ALL, truth([OBJECT], [3]), 0.5, 0.5))
    assert positive == [True, True, True, False, False]
    assert negative == [False, False, False, True, True]


def test_the_index_is_of_the_largest_overlap():
    objects = [[20.0, 20, 30, 30], OBJECT, [50, 50, 60, 60]]
    matches = match(CANDIDATES, ALL, truth(objects, [0, 1, 2]), 0.5, 0.3)
    np.testing.assert_array_equal(matches.index[0].numpy()[[0, 1, 2, 4]], [1, 1, 1, 2])


def test_every_object_gets_its_best_candidates_by_force():
    # Overlaps the third and fourth by 0.1 and 0.25: never 0.7.
    small = [0.0, 0, 5, 1]
    objects = truth([small, OBJECT], [0, 1])
    positive, _ = found(match(CANDIDATES, ALL, objects, 0.7, 0.3))
    assert positive == [True, True, False, False, False]
    matches = match(CANDIDATES, ALL, objects, 0.7, 0.3, force=True)
    positive, negative = found(matches)
    assert positive == [True, True, False, True, False]
    assert negative == [False, False, False, False, True]
    np.testing.assert_array_equal(matches.index[0].numpy()[[0, 1, 3]], [1, 1, 0])


def test_force_takes_all_of_equal_overlap_and_none_without_overlap():
    candidates = tf.constant([[[0.0, 0, 10, 2], [0, 8, 10, 10], [50, 50, 60, 60]]])
    valid = tf.ones([1, 3], tf.bool)
    positive, _ = found(match(candidates, valid, truth([OBJECT], [0]), 0.7, 0.3, force=True))
    assert positive == [True, True, False]
    far = truth([[90.0, 90, 95, 95]], [0])
    positive, negative = found(match(candidates, valid, far, 0.7, 0.3, force=True))
    assert positive == [False] * 3 and negative == [True] * 3


def test_force_does_not_reach_into_the_padding():
    valid = tf.constant([[False, True, True, True, False]])
    matches = match(CANDIDATES, valid, truth([OBJECT], [0]), 0.9, 0.3, force=True)
    positive, negative = found(matches)
    assert positive == [False, True, False, False, False]
    assert negative == [False, False, False, True, False]


def test_crowds_are_neither_found_nor_missed():
    # The crowd holds the first three fully, the fourth too, the last not at all.
    objects = truth([[0.0, 0, 40, 40]], [0], [True])
    positive, negative = found(match(CANDIDATES, ALL, objects, 0.7, 0.3, force=True))
    assert positive == [False] * 5
    assert negative == [False, False, False, False, True]


def test_an_object_in_a_crowd_is_an_object():
    objects = truth([[0.0, 0, 40, 40], OBJECT], [0, 1], [True, False])
    matches = match(CANDIDATES, ALL, objects, 0.7, 0.3)
    positive, negative = found(matches)
    assert positive == [True, True, False, False, False]
    assert negative == [False, False, False, False, True]
    np.testing.assert_array_equal(matches.index[0, :2], [1, 1])


def test_without_objects_everything_is_background():
    for objects in (
        truth([], []),
        truth([[0.0, 0, 0, 0]], [-1]),
        truth([[3.0, 3, 3, 9]], [1]),  # no area
        truth([[9.0, 3, 3, 9]], [1]),
    ):
        positive, negative = found(match(CANDIDATES, ALL, objects, 0.7, 0.3, force=True))
        assert positive == [False] * 5 and negative == [True] * 5


def test_images_of_a_batch_do_not_meet():
    boxes = tf.constant([[OBJECT], [[50.0, 50, 60, 60]]])
    objects = prepare_ground_truth(boxes, [[0], [1]])
    matches = match(tf.repeat(CANDIDATES, 2, 0), tf.repeat(ALL, 2, 0), objects, 0.7, 0.3)
    np.testing.assert_array_equal(
        matches.positive, [[True, True, False, False, False], [False] * 4 + [True]]
    )
