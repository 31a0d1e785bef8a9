"""Tiles, dilation and resizing against loops over positions."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.tiles import dilate, share_within_tiles, upsample_nearest

SIZES = [(4, 6), (5, 7), (1, 1), (1, 9), (3, 2)]


def share_by_loops(scores, size, valid):
    shared = np.zeros_like(scores)
    batch, height, width = scores.shape
    for image in range(batch):
        for y in range(height):
            for x in range(width):
                top, left = y - y % size, x - x % size
                members = [
                    scores[image, row, column]
                    for row in range(top, min(top + size, height))
                    for column in range(left, min(left + size, width))
                    if valid[image, row, column]
                ]
                shared[image, y, x] = np.mean(members) if members else 0.0
    return shared


@pytest.mark.parametrize("with_valid", [False, True])
@pytest.mark.parametrize("tile_size", [1, 2, 3, 8])
@pytest.mark.parametrize("height, width", SIZES)
def test_share_within_tiles(height, width, tile_size, with_valid):
    rng = np.random.default_rng(height * 10 + width)
    scores = rng.random([3, height, width])
    valid = np.ones(scores.shape, bool)
    if with_valid:
        for image in range(3):
            valid[image, rng.integers(0, height) + 1 :] = False
            valid[image, :, rng.integers(0, width) + 1 :] = False
        valid[2] = False
    computed = share_within_tiles(
        tf.constant(scores), tile_size, tf.constant(valid) if with_valid else None
    ).numpy()
    expected = share_by_loops(scores, tile_size, valid)
    if tile_size == 1:
        expected = scores  # by contract unchanged, outside `valid` too
    np.testing.assert_allclose(computed, expected, rtol=1e-12)


def test_a_tile_agrees_to_the_bit():
    scores = tf.random.stateless_uniform([2, 11, 13], seed=[1, 2])
    shared = share_within_tiles(scores, 4).numpy()
    for top in range(0, 11, 4):
        for left in range(0, 13, 4):
            tile = shared[:, top : top + 4, left : left + 4].reshape(2, -1)
            assert (tile == tile[:, :1]).all()


def test_share_within_tiles_inside_a_function_of_unknown_size():
    scores = np.random.default_rng(3).random([2, 5, 7])
    traced = tf.function(
        lambda maps: share_within_tiles(maps, 3),
        input_signature=[tf.TensorSpec([None, None, None], tf.float64)],
    )
    np.testing.assert_allclose(traced(scores), share_by_loops(scores, 3, np.ones_like(scores)))


def test_share_within_tiles_gradient():
    """The mean of a tile hands its gradient to the members in equal parts."""
    scores = tf.constant(np.random.default_rng(4).random([1, 3, 4]))
    weights = np.random.default_rng(5).random([1, 3, 4])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        total = tf.reduce_sum(share_within_tiles(scores, 2) * weights)
    expected = share_by_loops(weights, 2, np.ones_like(weights))
    np.testing.assert_allclose(tape.gradient(total, scores), expected)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("height, width", SIZES)
def test_dilate(height, width, share):
    active = np.random.default_rng(height).random([3, height, width]) < share
    expected = np.zeros_like(active)
    for image, y, x in zip(*np.nonzero(active), strict=True):
        expected[image, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    dilated = dilate(tf.constant(active))
    assert dilated.dtype == tf.bool
    np.testing.assert_array_equal(dilated, expected)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.int32])
@pytest.mark.parametrize(
    "source, target", [((1, 1), (7, 5)), ((3, 4), (12, 16)), ((5, 4), (17, 13)), ((4, 4), (4, 4))]
)
def test_upsample_nearest(source, target, dtype):
    maps = np.arange(2 * source[0] * source[1]).reshape(2, *source)
    resized = upsample_nearest(tf.constant(maps, dtype), *target)
    assert resized.dtype == dtype
    rows = np.arange(target[0]) * source[0] // target[0]
    columns = np.arange(target[1]) * source[1] // target[1]
    np.testing.assert_array_equal(resized, maps[:, rows][:, :, columns])


def test_upsample_nearest_rounds_as_tensorflow_does():
    """Sizes at which float32 and exact fractions take different rows."""
    for source, target in [(4, 110), (16, 122), (58, 230)]:
        maps = np.arange(source, dtype=np.float32)[None, :, None]
        expected = tf.raw_ops.ResizeNearestNeighbor(
            images=maps[..., None], size=[target, 1], align_corners=False, half_pixel_centers=False
        )
        resized = upsample_nearest(maps, tf.constant(target), tf.constant(1))
        np.testing.assert_array_equal(resized, expected[..., 0])
    exact = np.arange(110) * 4 // 110
    maps = np.arange(4, dtype=np.float32)[None, :, None]
    assert (upsample_nearest(maps, 110, 1)[0, :, 0].numpy() != exact).any()
