"""3x3 convolutions as gathers and products against TensorFlow's convolution."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.active_rows import find_active_rows
from sact_tf.ops.row_convolution import convolve_map, convolve_rows, convolve_rows_on_map

BORDER = [[0, 0], [1, 1], [1, 1], [0, 0]]


def convolve(maps, kernel, stride):
    return tf.nn.conv2d(tf.pad(maps, BORDER), kernel, stride, "VALID")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 7, 10), (1, 1, 1), (3, 4, 5), (0, 4, 4)])
def test_convolution_of_a_map_and_its_gradients(shape, stride):
    maps = tf.random.stateless_normal([*shape, 3], [0, 1], dtype=tf.float64)
    kernel = tf.random.stateless_normal([3, 3, 3, 4], [0, 2], dtype=tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([maps, kernel])
        ours, theirs = convolve_map(maps, kernel, stride), convolve(maps, kernel, stride)
        weight = tf.random.stateless_normal(tf.shape(theirs), [0, 3], dtype=tf.float64)
        losses = [tf.reduce_sum(weight * output) for output in (ours, theirs)]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    gradients = [tape.gradient(loss, [maps, kernel]) for loss in losses]
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_sizes_may_be_unknown():
    kernel = tf.random.stateless_normal([3, 3, 2, 2], [0, 2])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 2])])
    def run(maps):
        return convolve_map(maps, kernel, 2)

    for size in (5, 8):
        maps = tf.random.stateless_normal([2, size, size + 1, 2], [0, 1])
        np.testing.assert_allclose(run(maps), convolve(maps, kernel, 2), atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("padded", [False, True])
def test_rows_are_convolved_alike_as_windows_and_on_the_map(share, padded):
    active = tf.random.stateless_uniform([2, 6, 9], [0, 1]) < share
    valid = np.ones([2, 6, 9], bool)
    valid[1, 4:], valid[1, :, 5:] = False, False
    valid = tf.constant(valid) if padded else None
    active = active & valid if padded else active
    rows = find_active_rows(active, valid)
    maps = tf.random.stateless_normal([2, 6, 9, 3], [0, 2], dtype=tf.float64)
    if padded:
        maps *= tf.cast(valid, maps.dtype)[..., tf.newaxis]
    flat = tf.reshape(maps, [-1, 3])
    pieces = [tf.gather(flat, where) for where in (rows.active_positions, rows.ring_positions)]
    kernel = tf.random.stateless_normal([3, 3, 3, 4], [0, 3], dtype=tf.float64)
    expected = tf.boolean_mask(convolve(maps, kernel, 1), active)
    np.testing.assert_allclose(convolve_rows_on_map(pieces, kernel, rows), expected, atol=1e-12)
    windows = convolve_rows(pieces, kernel, rows.neighbours, rows.num_active)
    np.testing.assert_allclose(windows, expected, atol=1e-12)
