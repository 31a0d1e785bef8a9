"""Halting algebra against numbers worked out by hand, gradients included."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.halting import (
    halting_step,
    initial_state,
    mean_ponder_cost,
)

EPSILON = 0.01


def run(scores, valid=None, epsilon=EPSILON):
    """All units of a block whose scores are the given tensors; the last unit has none."""
    state = initial_state(tf.shape(scores[0]), scores[0].dtype, valid)
    weights = []
    for score in scores:
        state, weight = halting_step(state, score, epsilon, is_last=False)
        weights.append(weight)
    state, weight = halting_step(state, tf.zeros_like(scores[0]), epsilon, is_last=True)
    return state, weights + [weight]


# scores, ponder cost, units, halting distribution, d(ponder cost)/d(score)
CASES = {
    "halts in the middle": (
        [0.01, 0.50, 0.60, 0.70],
        3.49,
        3,
        [0.01, 0.50, 0.49, 0.0, 0.0],
        [-1.0, -1.0, 0.0, 0.0],
    ),
    "runs all units": (
        [0.01, 0.01, 0.01, 0.01],
        5.96,
        5,
        [0.01, 0.01, 0.01, 0.01, 0.96],
        [-1.0, -1.0, -1.0, -1.0],
    ),
    "halts at once": ([0.999, 0.5, 0.5, 0.5], 2.0, 1, [1.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 4),
    "never halts by itself": ([0.0] * 4, 6.0, 5, [0.0, 0.0, 0.0, 0.0, 1.0], [-1.0] * 4),
}


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4)], ids=["act", "sact"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_hand_computed(case, shape, dtype):
    values, ponder_cost, num_units, distribution, gradient = case
    scores = [tf.fill(shape, tf.constant(value, dtype)) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(scores)
        state, weights = run(scores)
        total = tf.reduce_sum(state.ponder_cost)
    gradients = tape.gradient(total, scores, unconnected_gradients="zero")

    def everywhere(value):
        return np.full(shape, value)

    tolerance = {"rtol": 0, "atol": 1e-6 if dtype == tf.float32 else 1e-14}
    assert state.ponder_cost.dtype == dtype
    np.testing.assert_allclose(state.ponder_cost, everywhere(ponder_cost), **tolerance)
    np.testing.assert_array_equal(state.num_units, everywhere(num_units))
    np.testing.assert_array_equal(state.active, everywhere(False))
    for weight, expected in zip(weights, distribution, strict=True):
        np.testing.assert_allclose(weight, everywhere(expected), **tolerance)
    for computed, expected in zip(gradients, gradient, strict=True):
        np.testing.assert_array_equal(computed, everywhere(expected))


def test_positions_decide_alone():
    """One map that holds all cases of above side by side gives what each gives alone."""
    names = list(CASES)
    scores = [
        tf.constant([[[CASES[name][0][unit] for name in names]]], tf.float64) for unit in range(4)
    ]
    state, weights = run(scores)
    np.testing.assert_allclose(state.ponder_cost[0, 0], [CASES[name][1] for name in names])
    np.testing.assert_array_equal(state.num_units[0, 0], [CASES[name][2] for name in names])
    distribution = tf.stack([weight[0, 0] for weight in weights], axis=-1)
    np.testing.assert_allclose(distribution, [CASES[name][3] for name in names], atol=1e-12)


def test_active_before_every_unit():
    """`active` is what enters the next unit: 'halts in the middle' leaves after its third unit."""
    state = initial_state([1, 1, 1], tf.float64)
    entered = [bool(state.active)]
    for value in CASES["halts in the middle"][0]:
        state, _ = halting_step(state, tf.fill([1, 1, 1], value), EPSILON, is_last=False)
        entered.append(bool(state.active))
    assert entered == [True, True, True, False, False]


def test_weights_sum_to_one_and_remainder_is_what_is_left():
    rng = np.random.default_rng(0)
    scores = [tf.constant(rng.uniform(0, 0.7, [2, 5, 6])) for _ in range(5)]
    state = initial_state([2, 5, 6], tf.float64)
    weights, on_entering = [], []
    for index in range(6):
        on_entering.append(tf.where(state.active, state.remainder, 0))
        last = index == 5
        state, weight = halting_step(state, scores[0 if last else index], EPSILON, is_last=last)
        weights.append(weight)
    np.testing.assert_allclose(tf.add_n(weights), np.ones([2, 5, 6]), atol=1e-12)
    # The identity behind the output x_1 + sum R_l f_l: the weights from unit l on sum up to R_l.
    for index, remainder in enumerate(on_entering):
        np.testing.assert_allclose(tf.add_n(weights[index:]), remainder, atol=1e-12)
    assert len(np.unique(state.num_units)) >= 4


def test_threshold_is_inclusive():
    """A cumulative score of exactly 1 - epsilon halts (0.75 is exact in binary)."""
    state, _ = halting_step(
        initial_state([1, 1, 1]), tf.fill([1, 1, 1], 0.75), epsilon=0.25, is_last=False
    )
    assert not bool(state.active)
    state, _ = halting_step(
        initial_state([1, 1, 1]), tf.fill([1, 1, 1], 0.7499999), epsilon=0.25, is_last=False
    )
    assert bool(state.active)


def test_single_unit_block():
    state, weights = run_single([2, 3, 3])
    np.testing.assert_array_equal(state.ponder_cost, np.full([2, 3, 3], 2.0))
    np.testing.assert_array_equal(state.num_units, np.ones([2, 3, 3]))
    np.testing.assert_array_equal(weights, np.ones([2, 3, 3]))


def run_single(shape):
    return halting_step(initial_state(shape), tf.zeros(shape), EPSILON, is_last=True)


def test_bfloat16_scores_are_summed_in_float32():
    score = tf.fill([1, 2, 2], tf.constant(0.005, tf.bfloat16))
    state = initial_state([1, 2, 2], tf.bfloat16)
    for _ in range(100):
        state, weight = halting_step(state, score, EPSILON, is_last=False)
    assert state.cumulative.dtype == state.ponder_cost.dtype == weight.dtype == tf.float32
    # A bfloat16 sum would stand still at 1.0; float32 halts near step 198.
    np.testing.assert_allclose(state.cumulative, 100 * np.float32(score), rtol=1e-5)


def test_invalid_positions_never_compute():
    valid = tf.constant([[[True, True, False], [False, False, False]]])
    scores = [tf.fill([1, 2, 3], 0.3)] * 2
    state = initial_state([1, 2, 3], tf.float32, valid)
    np.testing.assert_array_equal(state.active, valid)
    state, weights = run(scores, valid)
    outside = ~valid.numpy()
    for tensor in (state.ponder_cost, state.num_units, *weights):
        assert not np.any(tensor.numpy()[outside])
    np.testing.assert_allclose(state.ponder_cost.numpy()[valid.numpy()], 3.4, rtol=1e-6)


def test_nothing_has_a_gradient_through_the_decision():
    """N and the masks are constants: a score that is far from deciding moves only the remainder."""
    first, second = tf.constant([[[0.4]]]), tf.constant([[[0.3]]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([first, second])
        state, weights = run([first, second])
    assert tape.gradient(weights[0], first).numpy().item() == 1.0
    assert tape.gradient(weights[2], first).numpy().item() == -1.0
    assert tape.gradient(weights[2], second).numpy().item() == -1.0
    assert state.num_units.numpy().item() == 3


def test_output_gradient_equals_finite_differences():
    """d(sum of weighted states)/d(score), where units halt at different numbers."""
    rng = np.random.default_rng(1)
    values = rng.uniform(0.1, 0.6, [3, 1, 3, 4])
    states = rng.normal(size=[4, 1, 3, 4])

    def output(values):
        state, weights = run(list(tf.unstack(tf.convert_to_tensor(values))))
        weighted = tf.reduce_sum(tf.stack(weights) * states)
        return weighted + tf.reduce_sum(state.ponder_cost**2), state

    scores = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        total, state = output(scores)
    gradient = tape.gradient(total, scores).numpy()
    assert len(np.unique(state.num_units)) > 1
    step = 1e-6
    for index in np.ndindex(values.shape):
        shifted = values.copy()
        shifted[index] += step
        above = output(shifted)[0].numpy()
        shifted[index] -= 2 * step
        below = output(shifted)[0].numpy()
        np.testing.assert_allclose(
            gradient[index], (above - below) / (2 * step), rtol=1e-5, atol=1e-8
        )


class TestMeanPonderCost:
    def test_images_count_alike(self):
        cost = tf.constant([[[2.0, 4.0]], [[1.0, 1.0]]])
        assert mean_ponder_cost(cost).numpy() == 2.0

    def test_valid_positions_of_each_image(self):
        cost = tf.constant([[[2.0, 4.0]], [[1.0, 100.0]]])
        valid = tf.constant([[[True, True]], [[True, False]]])
        assert mean_ponder_cost(cost, valid).numpy() == 2.0  # (3 + 1) / 2, not (2 + 4 + 1) / 3

    def test_an_image_without_positions_is_zero(self):
        cost = tf.constant([[[np.nan, np.nan]], [[3.0, 5.0]]])
        valid = tf.constant([[[False, False]], [[True, True]]])
        assert mean_ponder_cost(cost, valid).numpy() == 2.0

    def test_act_ignores_the_map(self):
        cost = tf.constant([[[2.0]], [[6.0]]])
        assert mean_ponder_cost(cost, tf.zeros([2, 3, 3], tf.bool)).numpy() == 4.0


def test_same_inside_tf_function():
    scores = [tf.constant(np.random.default_rng(2).uniform(0, 1, [2, 3, 3])) for _ in range(3)]
    eager, _ = run(scores)
    graph = tf.function(lambda *scores: run(scores)[0])(*scores)
    compiled = tf.function(lambda *scores: run(scores)[0], jit_compile=True)(*scores)
    for expected, traced, jitted in zip(eager, graph, compiled, strict=True):
        np.testing.assert_array_equal(expected, traced)
        np.testing.assert_array_equal(expected, jitted)
