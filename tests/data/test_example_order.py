"""The order of examples, and random numbers, as functions of seed and position."""

import numpy as np
import pytest

from sact_tf.data.pipeline.example_order import ExampleOrder
from sact_tf.data.pipeline.random_bits import augmentation_seeds, random_keys, random_uniform


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_every_epoch_is_a_permutation(count):
    epochs, examples = ExampleOrder(count, seed=3)(np.arange(5 * count))
    np.testing.assert_array_equal(epochs, np.repeat(np.arange(5), count))
    for epoch in examples.reshape(5, count):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(count))
    if count == 1000:
        assert len({epoch.tobytes() for epoch in examples.reshape(5, count)}) == 5


def test_any_position_at_any_time():
    order = ExampleOrder(11, seed=3)
    _, whole = order(np.arange(55))
    for position in (54, 0, 22, 10, 33, 11):
        assert order(np.array([position]))[1] == whole[position]
    assert len(order._permutations) <= 2
    np.testing.assert_array_equal(ExampleOrder(11, seed=3)(np.arange(40, 55))[1], whole[40:])


def test_each_seed_has_its_order():
    orders = {ExampleOrder(50, seed)(np.arange(50))[1].tobytes() for seed in range(20)}
    assert len(orders) == 20


def test_keys_depend_on_every_part_and_its_place():
    keys = {
        int(random_keys(*parts)[0])
        for parts in [(0,), (0, 0), (0, 1), (1, 0), (1, 1), (2**40, 1), (1, 2**40)]
    }
    assert len(keys) == 7
    together = random_keys(5, np.array([3, 4]), 6)
    np.testing.assert_array_equal(together[1:], random_keys(5, 4, 6))


def test_uniform_numbers():
    numbers = random_uniform(random_keys(1, np.arange(20_000)), 3)
    assert numbers.shape == (20_000, 3) and 0 <= numbers.min() and numbers.max() < 1
    for column in numbers.T:
        counts = np.histogram(column, bins=20, range=(0, 1))[0]
        assert np.abs(counts - 1000).max() < 150
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.03


def test_augmentation_seeds():
    seeds = augmentation_seeds(random_keys(1, np.arange(1000)))
    assert seeds.shape == (1000, 2) and seeds.dtype == np.int32
    assert len(np.unique(seeds, axis=0)) == 1000
