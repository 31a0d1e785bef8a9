"""Counts of operations against plain Python arithmetic."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.flops import conv2d_flops, count_positions, map_positions


def test_conv2d_flops_of_an_int():
    flops = conv2d_flops(56 * 56, 3, 64, 64)
    assert flops.dtype == tf.int64
    assert flops.shape == ()
    assert int(flops) == 2 * 56 * 56 * 3 * 3 * 64 * 64


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_conv2d_flops_of_a_tensor(dtype):
    flops = conv2d_flops(tf.constant([0, 1, 7], dtype), 7, 3, 5)
    assert flops.dtype == tf.int64
    np.testing.assert_array_equal(flops, [0, 2 * 49 * 15, 7 * 2 * 49 * 15])


def test_beyond_32_bits():
    positions = 600 * 1000
    expected = 2 * positions * 9 * 512 * 512
    assert expected > 2**31
    assert int(conv2d_flops(tf.constant(positions, tf.int32), 3, 512, 512)) == expected
    assert int(conv2d_flops(positions, 3, 512, 512)) == expected
    traced = tf.function(lambda count: conv2d_flops(count, 3, 512, 512))
    assert int(traced(tf.constant(positions))) == expected


def test_count_positions():
    active = np.random.default_rng(0).random([3, 5, 7]) < 0.4
    counts = count_positions(tf.constant(active))
    assert counts.dtype == tf.int64
    np.testing.assert_array_equal(counts, active.reshape(3, -1).sum(axis=1))


def test_map_positions():
    np.testing.assert_array_equal(map_positions([2, 5, 7, 3]), [35, 35])
    assert map_positions(tf.constant([4, 100_000, 100_000])).numpy().tolist() == [10**10] * 4
    assert map_positions([0, 5, 7]).shape == (0,)
    valid = tf.constant(np.arange(12).reshape(2, 2, 3) < 7)
    np.testing.assert_array_equal(map_positions([2, 2, 3], valid), [6, 1])
