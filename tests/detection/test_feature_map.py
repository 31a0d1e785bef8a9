"""Crops of a padded batch's features, by hand, and their gradient."""

import numpy as np
import tensorflow as tf

from sact_tf.detection.feature_map import FeatureMap, crop_regions, sizes_without_padding
from tests.harness import padded_batch


def ramp(height, width):
    """Features whose two channels are the row and the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns], axis=-1)[np.newaxis].astype("float32")


class TestCrops:
    def crop(self, features, region, image_size, map_size, crop_size=3):
        sizes = tf.constant([map_size], tf.float32), tf.constant([image_size], tf.float32)
        features = FeatureMap(tf.constant(features), None, *sizes)
        return crop_regions(features, tf.constant([[region]], tf.float32), crop_size).numpy()[0]

    def test_whole_image(self):
        crop = self.crop(ramp(5, 9), [0, 0, 80, 144], (80, 144), (5, 9))
        np.testing.assert_allclose(crop[:, 0, 0], [0, 2, 4], atol=1e-4)
        np.testing.assert_allclose(crop[0, :, 1], [0, 4, 8], atol=1e-4)

    def test_a_part_by_hand(self):
        # 20 of 80 pixels are a quarter of the way through the four steps between rows.
        crop = self.crop(ramp(5, 9), [20, 36, 40, 108], (80, 144), (5, 9))
        np.testing.assert_allclose(crop[:, 0, 0], [1, 1.5, 2], atol=1e-4)
        np.testing.assert_allclose(crop[0, :, 1], [2, 4, 6], atol=1e-4)

    def test_padding_is_not_read(self):
        features = np.full([1, 7, 12, 2], -1e6, "float32")
        features[:, :5, :9] = ramp(5, 9)
        for region in ([0, 0, 80, 144], [20, 36, 80, 144], [79, 143, 80, 144]):
            alone = self.crop(ramp(5, 9), region, (80, 144), (5, 9))
            padded = self.crop(features, region, (80, 144), (5, 9))
            # Each lies at most a millionth of a step outside.
            np.testing.assert_allclose(padded, alone, atol=15)

    def test_no_size_loses_its_last_row(self):
        for size in range(1, 200):
            crop = self.crop(ramp(size, 1) + 1, [0, 0, size * 16, 16], (size * 16, 16), (size, 1))
            np.testing.assert_allclose(crop[-1, -1], [size, 1], rtol=1e-3)

    def test_gradient_reaches_the_features_read(self):
        features = tf.Variable(ramp(6, 6))
        with tf.GradientTape() as tape:
            sizes = tf.constant([[6.0, 6]]), tf.constant([[60.0, 60]])
            crops = crop_regions(
                FeatureMap(features, None, *sizes), tf.constant([[[0.0, 0, 30, 30]]]), 4
            )
            total = tf.reduce_sum(crops)
        gradient = tape.gradient(total, features)[0, :, :, 0].numpy()
        assert (gradient[:3, :3] > 0).all() and not gradient[4:].any() and not gradient[:, 4:].any()


def test_sizes_without_padding():
    _, batch, valid = padded_batch([(4, 7), (3, 2), (1, 1)], 4, 7)
    sizes = sizes_without_padding(tf.constant(batch), tf.constant(valid))
    np.testing.assert_array_equal(sizes, [[4, 7], [3, 2], [1, 1]])
    np.testing.assert_array_equal(sizes_without_padding(tf.constant(batch), None), [[4, 7]] * 3)
