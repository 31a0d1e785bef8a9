"""The activation of the networks: ReLU with an optional slope for negative inputs."""

import tensorflow as tf


def leaky_relu(inputs: tf.Tensor, negative_slope: float | None = 0.0) -> tf.Tensor:
    """max(x, slope * x) for a slope in [0, 1); exact in float64, too.

    Args:
        inputs: any shape.
        negative_slope: slope for negative inputs; 0 is the plain ReLU, None no activation at all.
    """
    if negative_slope is None:
        return inputs
    if negative_slope == 0:
        return tf.nn.relu(inputs)
    if inputs.dtype == tf.float64:
        return tf.maximum(inputs, negative_slope * inputs)  # the kernel's slope is a float32
    return tf.nn.leaky_relu(inputs, negative_slope)
