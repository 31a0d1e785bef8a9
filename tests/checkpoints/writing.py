"""Writes small TensorFlow-1 checkpoints for tests."""

import pathlib

import numpy as np
import tensorflow as tf


def golden_variables(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The variables of a golden case by name."""
    with np.load(path) as data:
        return {key.removeprefix("var/"): data[key] for key in data if key.startswith("var/")}


def write_checkpoint(prefix: pathlib.Path, variables: dict[str, np.ndarray]) -> str:
    """Writes PREFIX.index and PREFIX.data-00000-of-00001, as TensorFlow 1's Saver does."""
    names = sorted(variables)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )
    return str(prefix)
