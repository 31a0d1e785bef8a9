"""The rule for the precision of sums."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.precision import at_least_float32, sum_dtype


@pytest.mark.parametrize(
    "dtype, expected",
    [
        (tf.bfloat16, tf.float32),
        ("float16", tf.float32),
        (tf.float32, tf.float32),
        (tf.float64, tf.float64),
    ],
)
def test_never_below_float32(dtype, expected):
    assert sum_dtype(dtype) == expected
    assert at_least_float32(tf.ones([2], dtype)).dtype == expected


def test_a_sum_of_small_terms():
    terms = tf.fill([1000], tf.constant(0.005, tf.bfloat16))
    np.testing.assert_allclose(tf.reduce_sum(at_least_float32(terms)), 5.0, rtol=2e-3)
