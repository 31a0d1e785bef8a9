"""Anchors by hand, and against Model Garden's."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.detection.geometry.anchors import anchor_grid, cell_anchors, position_keys


def test_a_cell_by_hand():
    cell = cell_anchors((16, 32), (0.5, 1, 2), stride=16).numpy()
    assert cell.shape == (6, 4)
    long, short = 16 * np.sqrt(2), 16 / np.sqrt(2)
    np.testing.assert_allclose(
        cell[0], [8 - long / 2, 8 - short / 2, 8 + long / 2, 8 + short / 2], rtol=1e-6
    )
    np.testing.assert_allclose(cell[1], [0, 0, 16, 16])
    np.testing.assert_allclose(cell[4], [-8, -8, 24, 24])
    # Area by the size, width over height by the ratio.
    height, width = cell[:, 2] - cell[:, 0], cell[:, 3] - cell[:, 1]
    np.testing.assert_allclose(height * width, [256] * 3 + [1024] * 3, rtol=1e-5)
    np.testing.assert_allclose(width / height, [0.5, 1, 2] * 2, rtol=1e-5)


def test_the_grid_moves_the_cell_by_strides():
    cell = cell_anchors((16, 32), (0.5, 1, 2), stride=8)
    grid = tf.reshape(anchor_grid(cell, tf.constant(3), tf.constant(5), 8), [3, 5, 6, 4])
    np.testing.assert_allclose(grid[2, 4], cell + [16.0, 32, 16, 32], rtol=1e-6)


@pytest.mark.parametrize("level", [2, 4])
def test_the_grid_is_model_gardens(level):
    from official.vision.ops import anchor

    stride = 2**level
    expected = anchor.Anchor(
        min_level=level,
        max_level=level,
        num_scales=1,
        aspect_ratios=[0.5, 1.0, 2.0],
        anchor_size=3.0,
        image_size=[64, 96],
    ).multilevel_boxes[str(level)]
    cell = cell_anchors([3.0 * stride], (0.5, 1.0, 2.0), stride)
    ours = anchor_grid(cell, 64 // stride, 96 // stride, stride)
    np.testing.assert_allclose(ours, tf.reshape(expected, [-1, 4]), rtol=1e-5, atol=1e-4)


def test_keys_are_distinct_and_know_nothing_of_the_padding():
    small = position_keys(5, 7, 12).numpy().reshape(5, 7, 12)
    large = position_keys(38, 63, 12).numpy().reshape(38, 63, 12)
    np.testing.assert_array_equal(small, large[:5, :7])
    assert len(np.unique(large)) == large.size
