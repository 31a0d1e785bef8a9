"""Comparisons of what two runs have left behind."""

import numpy as np
import tensorflow as tf

from sact_tf.training.classification.loading import load_classifier


def weights_of(run_directory):
    """Weights of a run's model, by path."""
    return {weight.path: weight.numpy() for weight in load_classifier(run_directory).weights}


def checkpoint_values(run_directory, step):
    """Everything in a checkpoint but time and the number of times it was saved, by key."""
    reader = tf.train.load_checkpoint(str(run_directory / "checkpoints" / f"ckpt-{step}"))
    keys = [key for key in reader.get_variable_to_shape_map() if "CHECKPOINTABLE" not in key]
    return {
        key: reader.get_tensor(key)
        for key in keys
        if not key.startswith(("throughput", "save_counter"))
    }


def assert_same_bits(left, right):
    """Fails unless both have the same keys and values."""
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)
