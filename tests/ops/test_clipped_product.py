"""A clip and a product against the four layers that they stand for."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.clipped_product import ClippedProduct


@pytest.mark.parametrize("scale", [[1.5, 0.2, 3.0], [-1.5, 0.2, 0.0], [0.0, 0.0, -0.1]])
@pytest.mark.parametrize("count", [0, 50])
def test_is_batch_norm_relu_convolution_and_batch_norm(scale, count):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=[count, 3]).astype("float32")
    scale, shift = tf.constant(scale), tf.constant([0.5, -0.3, 0.7])
    kernel = tf.constant(rng.normal(size=[3, 4]), tf.float32)
    after = tf.constant([1.0, -2.0, 0.5, 0.0]), tf.constant([0.1, 0.2, -0.3, 0.4])
    rises = bool(np.min(scale) >= 0)
    product = ClippedProduct.of((scale, shift), kernel, after, rises)
    assert (product.high is None) == rises
    expected = tf.nn.relu(rows * scale + shift) @ kernel * after[0] + after[1]
    np.testing.assert_allclose(product(rows), expected, atol=1e-6)
