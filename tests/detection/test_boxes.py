"""Codes, clipping, areas and suppression of boxes, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.detection.geometry import boxes

ANCHOR = [0.0, 0.0, 10.0, 20.0]


@pytest.mark.parametrize(
    ("box", "code"),
    [
        (ANCHOR, [0, 0, 0, 0]),
        ([5.0, 0.0, 15.0, 20.0], [10 * 0.5, 0, 0, 0]),
        ([0.0, 10.0, 10.0, 30.0], [0, 10 * 0.5, 0, 0]),
        ([0.0, 0.0, 20.0, 20.0], [10 * 0.5, 0, 5 * np.log(2), 0]),
        ([2.0, 5.0, 8.0, 15.0], [0, 0, 5 * np.log(0.6), 5 * np.log(0.5)]),
    ],
)
def test_codes_by_hand(box, code):
    box, anchor = tf.constant([box]), tf.constant([ANCHOR])
    np.testing.assert_allclose(boxes.encode_boxes(box, anchor), [code], atol=1e-5)
    np.testing.assert_allclose(boxes.decode_boxes(tf.constant([code]), anchor), box, atol=1e-4)


def test_decoding_bounds_the_growth():
    grown = boxes.decode_boxes(tf.constant([[0.0, 0.0, 1000.0, 0.0]]), tf.constant([ANCHOR]))
    assert np.isfinite(grown).all()
    np.testing.assert_allclose(grown[0, 2] - grown[0, 0], 10 * 1000 / 16, rtol=1e-4)


def test_every_image_clips_at_its_own_borders():
    given = tf.constant([[[-5.0, 3.0, 50.0, 200.0]], [[-5.0, 3.0, 50.0, 200.0]]])
    clipped = boxes.clip_boxes(given, tf.constant([[40.0, 100.0], [60.0, 10.0]]))
    np.testing.assert_array_equal(clipped, [[[0, 3, 40, 100]], [[0, 3, 50, 10]]])


def test_area():
    given = tf.constant([[0.0, 0, 2, 2], [0, 0, 0, 2], [0, 0, 2, 1], [3, 0, 2, 2]])
    np.testing.assert_array_equal(boxes.has_area(given), [True, False, True, False])
    np.testing.assert_array_equal(boxes.has_area(given, 1.0), [True, False, False, False])


class TestNonMaxSuppression:
    # The second overlaps the first by 0.8, the third by 0.25.
    BOXES = [[0.0, 0, 10, 8], [0, 0, 10, 10], [0, 6, 10, 16], [20, 20, 30, 30]]

    def run(self, scores, iou=0.7, most=4, threshold=0.1):
        given = tf.constant([self.BOXES])[:, :, tf.newaxis]
        found = boxes.non_max_suppression(
            given, tf.constant([scores], tf.float32), most, iou, threshold
        )
        return [tensor[0].numpy() for tensor in found]

    def test_the_higher_score_survives(self):
        kept, scores, classes, count = self.run([[0.8], [0.9], [0.7], [0.95]])
        assert count == 3
        np.testing.assert_array_equal(kept[:3], [self.BOXES[index] for index in (3, 1, 2)])
        np.testing.assert_allclose(scores, [0.95, 0.9, 0.7, 0])
        np.testing.assert_array_equal(classes, [0, 0, 0, -1])
        np.testing.assert_array_equal(kept[3], 0)

    def test_a_suppressed_box_suppresses_nothing(self):
        # The first overlaps the third by 2 / 16 of 160 = 20 / 160 only.
        kept, _, _, count = self.run([[0.8], [0.9], [0.7], [0.05]], iou=0.2)
        assert count == 1
        np.testing.assert_array_equal(kept[0], self.BOXES[1])

    def test_classes_do_not_suppress_each_other(self):
        _, scores, classes, count = self.run([[0.8, 0], [0, 0.9], [0, 0.5], [0, 0]])
        assert count == 3
        np.testing.assert_array_equal(classes[:3], [1, 0, 1])
        np.testing.assert_allclose(scores[:3], [0.9, 0.8, 0.5])

    def test_most_and_threshold(self):
        assert self.run([[0.8], [0.9], [0.7], [0.95]], most=2)[3] == 2
        assert self.run([[0.8], [0.9], [0.7], [0.95]], threshold=0.92)[3] == 1
        assert self.run([[0.8], [0.9], [0.7], [0.95]], threshold=0.99)[3] == 0
