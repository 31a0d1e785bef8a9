"""Windows against slices of a padded map."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops import windows as windows_ops


def maps(shape=(3, 7, 10, 2), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(
    ("size", "side", "step", "tile"),
    [
        (96, 16, 1, 16),
        (150, 16, 1, 15),  # ten tiles of 15, not nine of 16 and one of 6
        (150, 16, 8, 16),
        (7, 16, 1, 7),
        (7, 16, 4, 8),
        (7, 2, 4, 4),  # less than what halts as one
        (1, 8, 1, 1),
    ],
)
def test_tiles_are_equal_and_whole_ones_of_what_halts_as_one(size, side, step, tile):
    grid = windows_ops.window_grid(tf.zeros([2, size, 5]), side, 1, step)
    assert grid.tile_height == tile
    assert grid.rows == -(-size // tile) and grid.num_tiles == 2 * grid.rows * grid.columns


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("side", [2, 5, 16])
@pytest.mark.parametrize("is_static", [True, False])
def test_windows_are_what_is_around_their_tiles(reach, side, is_static):
    """All tiles of odd maps; sizes known or not when a function is traced."""
    features = maps()
    batch, height, width, channels = features.shape

    def read(features):
        grid = windows_ops.window_grid(features, side, reach)
        windows = windows_ops.find_windows(tf.range(grid.num_tiles), grid)
        lines = windows_ops.to_lines(features, grid)
        return grid, windows, windows_ops.read_windows(lines, windows)

    shape = features.shape if is_static else [None, None, None, channels]
    compiled = tf.function(read, input_signature=[tf.TensorSpec(shape, tf.float64)])
    grid, windows, patches = compiled(tf.constant(features))
    border = [[0, 0], [reach, side + reach], [reach, side + reach], [0, 0]]
    padded = np.pad(features, border)
    present = np.pad(np.ones_like(features[..., 0], bool), border[:-1])
    tall, wide = int(grid.tile_height), int(grid.tile_width)
    for tile in range(int(grid.num_tiles)):
        image, place = divmod(tile, int(grid.rows * grid.columns))
        top, left = (
            n * size for n, size in zip(divmod(place, int(grid.columns)), (tall, wide), strict=True)
        )
        rows, columns = slice(top, top + tall + 2 * reach), slice(left, left + wide + 2 * reach)
        inside = windows.inside[tile].numpy()
        np.testing.assert_array_equal(inside, present[image, rows, columns])
        np.testing.assert_array_equal(
            patches[tile] * inside[..., np.newaxis], padded[image, rows, columns]
        )


def test_padding_is_not_inside():
    features = maps()
    valid = np.zeros(features.shape[:3], bool)
    valid[0, :2, :3], valid[2] = True, True
    grid = windows_ops.window_grid(tf.constant(features), 4, 1)
    windows = windows_ops.find_windows(tf.range(grid.num_tiles), grid, tf.constant(valid))
    own = windows.inside[:, 1:-1, 1:-1]
    assert int(tf.reduce_sum(tf.cast(own, tf.int32))) == valid.sum()


def test_tiles_are_read_kept_and_written():
    features = tf.constant(maps())
    grid = windows_ops.window_grid(features, 3, 1)
    active = np.zeros(features.shape[:3], bool)
    active[0, 0, 0] = active[1, 6, 9] = active[2, 3, 3] = True
    chosen = windows_ops.tiles_with_any(tf.constant(active), grid)
    tiles = tf.cast(tf.where(chosen)[:, 0], tf.int32)
    assert tiles.numpy().tolist() == [0, 23, 2 * 12 + 5]
    windows = windows_ops.find_windows(tiles, grid)
    windows, source = windows_ops.keep_windows(windows, tf.constant([0, 2]), grid)
    assert source[:2].numpy().tolist() == [0, 2] and int(windows.num_tiles) == 2
    assert windows.tiles[:2].numpy().tolist() == [0, 29] and windows.images[1] == 2
    twice = windows_ops.read_tiles(2 * features, windows, grid)
    lines = windows_ops.write_tiles(windows_ops.to_lines(features, grid), twice, windows)
    expected = features.numpy()
    expected[0, :3, :3] *= 2
    expected[2, 3:6, 3:6] *= 2
    np.testing.assert_array_equal(windows_ops.from_lines(lines, grid), expected)


@pytest.mark.parametrize(("number", "rounded"), [(0, 0), (1, 3), (3, 3), (4, 6), (36, 36)])
def test_numbers_of_windows_are_round(number, rounded):
    """Thirty-six tiles: steps of a sixteenth of them, rounded up to three."""
    grid = windows_ops.window_grid(tf.zeros([1, 24, 24]), 4, 1)
    windows = windows_ops.find_windows(tf.range(number), grid)
    assert len(windows.tiles) == rounded and int(windows.num_tiles) == number
    lines = tf.zeros([grid.num_lines, 4])
    lines = windows_ops.write_tiles(lines, tf.ones([rounded, 4, 4]), windows)
    assert int(tf.reduce_sum(lines)) == 16 * number
