"""Ponder cost maps as colours, with values worked out by hand."""

import numpy as np
import pytest

from sact_tf.visualization import ponder_maps


def test_colorize_uses_both_ends_of_the_scale_and_clips():
    colors = ponder_maps.colorize(np.array([[1.0, 3.0, -9.0, 99.0]]), (1.0, 3.0))
    assert colors.dtype == np.uint8 and colors.shape == (1, 4, 3)
    # Viridis goes from dark violet to yellow.
    np.testing.assert_array_equal(colors[0, 0], [68, 1, 84])
    np.testing.assert_array_equal(colors[0, 1], [253, 231, 37])
    np.testing.assert_array_equal(colors[0, 2:], colors[0, :2])


def test_colorize_shows_what_is_not_finite_in_grey():
    colors = ponder_maps.colorize(np.array([[np.nan, np.inf, 1.0]]), (0.0, 1.0))
    np.testing.assert_array_equal(colors[0, :2], np.full([2, 3], 128))


def test_colorize_refuses_a_batch():
    with pytest.raises(ValueError, match=r"\[height, width\].*\(1, 2, 2\)"):
        ponder_maps.colorize(np.zeros([1, 2, 2]), (0.0, 1.0))


def test_shared_limits_cover_all_maps_and_never_collapse():
    assert ponder_maps.shared_limits([np.array([[2.0]]), np.array([[5.0, np.nan]])]) == (2.0, 5.0)
    assert ponder_maps.shared_limits([np.full([2, 2], 3.0)]) == (2.5, 3.5)
    with pytest.raises(ValueError, match="finite"):
        ponder_maps.shared_limits([np.array([[np.nan]])])


def test_displayable_stretches_floats_and_keeps_bytes():
    image = np.array([[[-1.0], [0.0], [3.0]]])
    shown = ponder_maps.displayable(image)
    np.testing.assert_array_equal(shown[0, :, 0], [0, 64, 255])
    assert shown.shape == (1, 3, 3)
    assert ponder_maps.displayable(np.full([2, 2, 3], 7.0)).max() == 0
    dark = np.full([2, 2, 3], 9, np.uint8)
    np.testing.assert_array_equal(ponder_maps.displayable(dark), dark)


def test_resize_nearest_repeats_rows_and_columns_from_the_top_left():
    resized = ponder_maps.resize_nearest(np.arange(4).reshape(2, 2), 3, 5)
    np.testing.assert_array_equal(resized, [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [2, 2, 2, 3, 3]])


def test_overlay_mixes_the_grey_image_with_the_colours():
    image = np.full([4, 4, 3], 200, np.uint8)
    ponder_map = np.array([[0.0, 1.0]])
    np.testing.assert_array_equal(
        ponder_maps.overlay(image, ponder_map, (0.0, 1.0), alpha=0.0), image
    )
    half = ponder_maps.overlay(image, ponder_map, (0.0, 1.0), alpha=0.5)
    np.testing.assert_array_equal(half[0, 0], [134, 100, 142])
    assert (half[:, 2] != half[:, 1]).any()
