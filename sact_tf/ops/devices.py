"""What a graph is being traced for."""

import tensorflow as tf


def in_xla() -> bool:
    """Whether the graph being traced is for XLA.

    TensorFlow tells that in private modules only. Without the question XLA itself fails on the
    first operation whose shape it cannot know, in words that lead nowhere.
    """
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def on_cpu() -> bool:
    """Whether single kernels of a CPU run what is traced: there is no GPU or TPU, and no XLA."""
    kinds = {device.device_type for device in tf.config.get_visible_devices()}
    return kinds == {"CPU"} and not in_xla()
