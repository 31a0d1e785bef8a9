"""Comparisons of the batches that data sets give."""

import numpy as np
import tensorflow as tf


def take(dataset, count):
    """The first batches, as dicts of arrays."""
    return [
        {key: value.numpy() for key, value in batch.items()}
        for _, batch in zip(range(count), dataset, strict=False)
    ]


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key])


def assert_resumes(data, batch_size, steps, start_steps, seed=3):
    """Holds the stream against its own continuations, and against another seed."""
    dataset = data.train(batch_size, seed)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    whole = take(dataset, steps)
    for start in start_steps:
        assert_same(take(data.train(batch_size, seed, start), steps - start), whole[start:])
        third = take(data.train(batch_size, seed, start, step_stride=3), (steps - start + 2) // 3)
        assert_same(third, whole[start::3])
    other = take(data.train(batch_size, seed + 1), steps)
    assert not all(
        np.array_equal(a["image"], b["image"]) for a, b in zip(whole, other, strict=True)
    )
    return whole
