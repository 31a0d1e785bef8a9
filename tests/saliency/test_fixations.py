import numpy as np
import pytest

from sact_tf.saliency import Fixations


def test_points_outside_the_image_are_dropped_and_counted():
    rows = [0, 4.99, 5, -0.01, 2, 2, np.nan, 1]
    columns = [0, 6.99, 0, 0, 7, -3, 1, np.nan]
    fixations = Fixations.from_points(rows, columns, height=5, width=7)
    assert fixations.rows.tolist() == [0, 4]
    assert fixations.columns.tolist() == [0, 6]
    assert fixations.num_outside == 6
    assert fixations.shape == (5, 7)
    assert len(fixations) == 2


def test_points_keep_repetitions_and_maps_have_none():
    fixations = Fixations.from_points([1, 1, 0], [2, 2, 0], 3, 4)
    assert len(fixations) == 3
    expected = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert fixations.to_map().astype(int).tolist() == expected
    back = Fixations.from_map(np.array(expected, np.uint8) * 255)
    assert (back.rows.tolist(), back.columns.tolist()) == ([0, 1], [0, 2])


def test_no_points_are_no_fixations():
    fixations = Fixations.from_points([], [], 3, 4)
    assert len(fixations) == 0
    assert not fixations.to_map().any()


def test_resized_puts_each_fixation_into_the_cell_of_its_centre():
    fixations = Fixations.from_points([0, 5, 6, 1079], [1919, 5, 6, 0], 1080, 1920)
    small = fixations.resized(180, 320)
    assert small.rows.tolist() == [0, 0, 1, 179]
    assert small.columns.tolist() == [319, 0, 1, 0]
    assert small.shape == (180, 320)
    large = Fixations.from_points([0, 1], [0, 1], 2, 2).resized(6, 10)
    assert (large.rows.tolist(), large.columns.tolist()) == ([1, 4], [2, 7])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"same length, received shapes \(2,\) and \(1,\)"):
        Fixations.from_points([1, 2], [1], 5, 5)
    with pytest.raises(ValueError, match="height and width to be positive, received 0 and 5"):
        Fixations.from_points([1], [1], 0, 5)
