"""Operations on rows in training, on a map or on rows, against the ones that know only rows."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.active_rows import find_active_rows
from sact_tf.ops.row_convolution import convolve_rows, sum_neighbour_rows
from sact_tf.ops.row_training import (
    convolve_rows_in_training,
    sum_neighbour_rows_in_training,
)

SHAPE = (3, 6, 5)
BY_MAP, BY_ROWS = 0.0, 1.5


def random(*shape, seed=0):
    return tf.random.stateless_normal(shape, [seed, 1], dtype=tf.float64)


def some_rows(share, reach=1):
    active = np.random.default_rng(1).random(SHAPE) < share
    return find_active_rows(tf.constant(active), reach=reach)


def assert_same_with_gradients(received, expected, sources):
    """Both are functions of no argument that read the sources, in a graph as well as eagerly."""

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            result = function()
            factor = tf.random.stateless_normal(tf.shape(result), [7, 1], dtype=result.dtype)
            total = tf.reduce_sum(result * factor)
        return [result, *map(tf.convert_to_tensor, tape.gradient(total, sources))]

    results = [run(received), tf.function(lambda: run(received))(), run(expected)]
    for eager, graph, other in zip(*results, strict=True):
        np.testing.assert_allclose(eager, other, atol=1e-12)
        np.testing.assert_allclose(graph, other, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("limit", [BY_MAP, 0.5, BY_ROWS])
@pytest.mark.parametrize("reach", [1, 2])
def test_convolution(share, limit, reach):
    """Of all rows at the outer ones, and of the outer ones at the active ones (reach 2)."""
    rows = some_rows(share, reach)
    sizes = [rows.num_active, rows.num_outer - rows.num_active]
    kernel = random(3, 3, 2, 4, seed=3)
    pieces = [random(int(size), 2, seed=4) for size in sizes]
    num_outputs, neighbours = rows.num_active, rows.neighbours[: rows.num_outer]
    if reach == 2:
        pieces.append(random(len(rows.neighbours) - int(rows.num_outer), 2, seed=5))
        num_outputs, neighbours = rows.num_outer, rows.neighbours
    assert_same_with_gradients(
        lambda: convolve_rows_in_training(pieces, kernel, rows, num_outputs, limit),
        lambda: convolve_rows(pieces, kernel, neighbours, num_outputs),
        [kernel, *pieces],
    )


def test_convolution_of_the_outer_rows_alone():
    rows = some_rows(0.1, reach=2)
    assert len(rows.neighbours) > int(rows.num_outer)
    kernel, piece = random(3, 3, 2, 4, seed=3), random(int(rows.num_outer), 2)
    for limit in (BY_MAP, BY_ROWS):
        assert_same_with_gradients(
            lambda limit=limit: convolve_rows_in_training(
                [piece], kernel, rows, rows.num_active, limit
            ),
            lambda: convolve_rows(
                [piece], kernel, rows.neighbours[: rows.num_outer], rows.num_active
            ),
            [kernel, piece],
        )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("limit", [BY_MAP, BY_ROWS])
def test_sum_over_neighbours(share, limit):
    rows = some_rows(share)
    pieces = [random(len(where), 9) for where in (rows.active_positions, rows.ring_positions)]
    assert_same_with_gradients(
        lambda: sum_neighbour_rows_in_training(pieces, rows, limit),
        lambda: sum_neighbour_rows(pieces, rows.neighbours, rows.num_active),
        pieces,
    )
