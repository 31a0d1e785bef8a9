"""Who goes on where not everybody may."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.capacity import admit, capacity_count
from sact_tf.ops.halting import halting_step, initial_state


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.5, 10, 5), (0.5, 5, 3), (0.1, 10, 1), (1 / 3, 3, 1), (2 / 3, 3, 2), (1.0, 7, 7)]
    + [(0.001, 10, 1), (0.3, 0, 0), (12_345 / 37_500, 37_500, 12_345)],
)
def test_count_of_a_share(share, count, expected):
    assert capacity_count(share, count) == expected
    assert int(capacity_count(share, tf.constant(count))) == expected


def test_the_largest_remainders_go_on_and_the_first_of_equals():
    remainder = tf.constant([[[0.2, 0.9, 0.5], [0.5, 0.5, 1.0]]])
    going_on = tf.constant([[[True, True, True], [True, True, False]]])
    for share, expected in [
        (1 / 6, [[0, 1, 0], [0, 0, 0]]),
        (2 / 6, [[0, 1, 1], [0, 0, 0]]),
        (3 / 6, [[0, 1, 1], [1, 0, 0]]),
        (5 / 6, [[1, 1, 1], [1, 1, 0]]),
    ]:
        np.testing.assert_array_equal(admit(going_on, remainder, share)[0], expected)


def test_rounding_does_not_choose_among_equals():
    remainder = 0.7 + np.random.default_rng(0).uniform(-1e-6, 1e-6, [1, 4, 4])
    chosen = admit(tf.ones([1, 4, 4], tf.bool), tf.constant(remainder), 0.25)
    np.testing.assert_array_equal(chosen[0, :, 0], [True, False, False, False])
    assert np.all(chosen[0, 0])


def test_images_share_a_capacity_or_have_their_own():
    remainder = tf.constant([[[0.9, 0.8, 0.7, 0.6]], [[0.5, 0.4, 0.3, 0.2]]])
    going_on = tf.ones([2, 1, 4], tf.bool)
    own = admit(going_on, remainder, 0.5, per="image")
    shared = admit(going_on, remainder, 0.5, per="batch")
    np.testing.assert_array_equal(own[:, 0], [[1, 1, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_array_equal(shared[:, 0], [[1, 1, 1, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("per", ["image", "batch"])
def test_tiles_go_on_as_one(per):
    """Partial tiles at the border, and positions of a tile that are padding."""
    tiles = np.array([[[0.1, 0.9], [0.8, 0.3]]])
    remainder = tiles.repeat(2, 1).repeat(2, 2)[:, :3, :3]
    going_on = np.ones([1, 3, 3], bool)
    going_on[0, 1, 2] = False
    chosen = admit(tf.constant(going_on), tf.constant(remainder), 0.5, tile_size=2, per=per)
    np.testing.assert_array_equal(chosen[0], [[0, 0, 1], [0, 0, 0], [1, 1, 0]])


@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 1, 1)])
def test_empty_and_smallest_maps(shape, per):
    chosen = admit(tf.ones(shape, tf.bool), tf.ones(shape), 0.5, per=per)
    assert chosen.shape == shape
    assert np.sum(chosen) == min(shape[0], 1 if per == "batch" else 2)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("tile_size", [1, 2])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_shapes_that_a_graph_does_not_know(per, tile_size, jit):
    spec = tf.TensorSpec([None, None, None], tf.float32)

    @tf.function(input_signature=[spec], jit_compile=jit)
    def compiled(remainder):
        return admit(remainder > 0.2, remainder, 0.3, tile_size, per)

    for shape in [(2, 5, 3), (1, 4, 4)]:
        remainder = tf.random.stateless_uniform(shape, [0, 1])
        expected = admit(remainder > 0.2, remainder, 0.3, tile_size, per)
        np.testing.assert_array_equal(compiled(remainder), expected)


def test_halting_of_what_is_left_out():
    """Two positions with scores 0.3 and 0.5, of which one may enter the second unit; both ran one
    unit, and the other one halts with what it had left: weights 1 and ponder cost 1 + 1."""
    state, zero = initial_state([1, 1, 2]), tf.zeros([1, 1, 2])
    scores = tf.Variable([[[0.3, 0.5]]])
    with tf.GradientTape() as tape:
        after, weight = halting_step(
            state, scores, 0.01, False, lambda going_on, left: admit(going_on, left, 0.5)
        )
        after, last = halting_step(after, zero, 0.01, True)
        cost = tf.reduce_sum(after.ponder_cost)
    np.testing.assert_allclose(weight[0, 0], [0.3, 1.0])
    np.testing.assert_allclose(last[0, 0], [0.7, 0.0])
    np.testing.assert_allclose(after.ponder_cost[0, 0], [2 + 0.7, 1 + 1.0])
    np.testing.assert_array_equal(after.num_units[0, 0], [2, 1])
    np.testing.assert_allclose(tape.gradient(cost, scores)[0, 0], [-1.0, 0.0])
