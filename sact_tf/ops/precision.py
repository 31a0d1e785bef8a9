"""The precision of what must be exact: sums, statistics, the halting algebra, logits."""

import tensorflow as tf


def sum_dtype(dtype: tf.DType | str) -> tf.DType:
    """The dtype of sums for a compute dtype: float64 stays, all else becomes float32."""
    return tf.float64 if tf.as_dtype(dtype) == tf.float64 else tf.float32


def at_least_float32(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor in the precision of sums, see `sum_dtype`."""
    return tf.cast(tensor, sum_dtype(tensor.dtype))
