"""Positions of a padded batch against every image alone."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.positions import (
    mean_over,
    pad_for_stride_two,
    strided_size,
    subsample,
    subsample_features,
    sum_at,
    zero_outside,
)


@pytest.mark.parametrize("stride, expected", [(1, [1, 4, 5]), (2, [1, 2, 3]), (4, [1, 1, 2])])
def test_strided_size(stride, expected):
    assert [strided_size(size, stride) for size in (1, 4, 5)] == expected
    np.testing.assert_array_equal(strided_size(tf.constant([1, 4, 5]), stride), expected)
    assert strided_size(None, stride) is None


def padded_batch(sizes, height, width, channels=2, fill=0.0, seed=0):
    """Images of the given sizes in the top left of a [B, height, width, C] batch, and `valid`."""
    rng = np.random.default_rng(seed)
    images = [rng.normal(size=[*size, channels]) for size in sizes]
    batch = np.full([len(sizes), height, width, channels], fill)
    valid = np.zeros([len(sizes), height, width], bool)
    for index, (rows, columns) in enumerate(sizes):
        batch[index, :rows, :columns] = images[index]
        valid[index, :rows, :columns] = True
    return images, batch, valid


def test_zero_outside_drops_nan():
    images, batch, valid = padded_batch([(2, 3), (1, 1)], 3, 4, fill=np.nan)
    cleaned = zero_outside(tf.constant(batch), tf.constant(valid)).numpy()
    np.testing.assert_array_equal(cleaned, np.where(valid[..., None], batch, 0))
    assert not np.isnan(cleaned).any()
    np.testing.assert_array_equal(cleaned[0, :2, :3], images[0])
    assert zero_outside(batch, None) is batch


def test_zero_outside_of_whole_images():
    """ACT's [B, 1, 1] decisions broadcast over the map."""
    maps = tf.ones([2, 3, 4, 1])
    kept = zero_outside(maps, tf.constant([True, False])[:, None, None])
    np.testing.assert_array_equal(tf.reduce_sum(kept, axis=[1, 2, 3]), [12, 0])


def test_mean_over():
    images, batch, valid = padded_batch([(2, 3), (1, 1), (3, 4)], 3, 4, fill=np.nan)
    means = mean_over(tf.constant(batch), tf.constant(valid))
    np.testing.assert_allclose(means, [image.mean(axis=(0, 1)) for image in images])
    np.testing.assert_allclose(mean_over(tf.constant(images[2][None]))[0], images[2].mean((0, 1)))


def test_mean_over_nothing_is_zero():
    maps = tf.fill([1, 2, 2, 3], np.nan)
    np.testing.assert_array_equal(mean_over(maps, tf.zeros([1, 2, 2], tf.bool)), np.zeros([1, 3]))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_subsample_keeps_what_a_strided_layer_gives(stride):
    sizes = [(rows, columns) for rows in range(1, 8) for columns in (1, 4, 7)]
    _, _, valid = padded_batch(sizes, 8, 7)
    sampled = subsample(tf.constant(valid), stride).numpy()
    for index, (rows, columns) in enumerate(sizes):
        expected = np.zeros(sampled.shape[1:], bool)
        expected[: -(-rows // stride), : -(-columns // stride)] = True
        np.testing.assert_array_equal(sampled[index], expected)
    assert subsample(None, 2) is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 5, 8, 3), (1, 1, 1, 2), (0, 4, 4, 2)])
def test_features_are_subsampled_as_positions_are(shape, stride, dtype):
    maps = tf.cast(tf.random.stateless_normal(shape, [0, 1]), dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        ours, theirs = subsample_features(maps, stride), subsample(maps, stride)
        losses = [tf.reduce_sum(features**2) for features in (ours, theirs)]
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(*(tape.gradient(loss, maps) for loss in losses))


@pytest.mark.parametrize("height, width", [(6, 7), (7, 6), (6, 6), (7, 7)])
@pytest.mark.parametrize("pooling", [False, True], ids=["convolution", "max pool"])
def test_pad_for_stride_two_gives_what_same_gives_alone(height, width, pooling):
    sizes = [(rows, columns) for rows in range(1, height + 1) for columns in range(1, width + 1)]
    fill = -1e9 if pooling else 0.0
    images, batch, valid = padded_batch(sizes, height, width, fill=fill)
    kernel = np.random.default_rng(1).normal(size=[3, 3, 2, 3])

    def window(maps, padding):
        if pooling:
            return tf.nn.max_pool2d(maps, 3, 2, padding)
        return tf.nn.conv2d(maps, kernel, 2, padding)

    padded = pad_for_stride_two(tf.constant(batch), tf.constant(valid), fill)
    assert padded.shape == (len(sizes), height + 2, width + 2, 2)
    together = window(padded, "VALID").numpy()
    assert together.shape[1:3] == (-(-height // 2), -(-width // 2))
    for index, image in enumerate(images):
        alone = window(tf.constant(image[None]), "SAME").numpy()[0]
        rows, columns, _ = alone.shape
        np.testing.assert_allclose(together[index, :rows, :columns], alone, atol=1e-12)


def test_sum_at_counts_only_the_chosen_positions():
    rng = np.random.default_rng(0)
    maps, chosen = rng.normal(size=(3, 4, 5, 6)), rng.random((3, 4, 5)) < 0.4
    chosen[1] = False
    expected = (maps * chosen[..., np.newaxis]).sum(axis=(1, 2))
    np.testing.assert_allclose(sum_at(tf.constant(maps), tf.constant(chosen)), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 4, 5, 6), (2, 0, 5, 6)])
def test_sum_at_of_nothing(shape):
    total = sum_at(tf.zeros(shape), tf.zeros(shape[:3], tf.bool))
    np.testing.assert_array_equal(total, np.zeros((shape[0], 6)))
