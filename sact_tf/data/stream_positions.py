"""Positions in the endless stream of training examples."""

import tensorflow as tf


def stream_positions(batch_size: int, start_step: int, step_stride: int = 1) -> tf.data.Dataset:
    """The positions of the examples of batches `start_step`, `start_step + step_stride`, ...

    Args:
        batch_size: examples per batch.
        start_step: number of the first batch.
        step_stride: 1 for all batches from there on; n to take one and leave out n - 1.

    Returns:
        An endless dataset of int64 scalars.
    """
    counter = tf.data.Dataset.counter()
    return counter.map(
        lambda n: (start_step + n // batch_size * step_stride) * batch_size + n % batch_size
    )
