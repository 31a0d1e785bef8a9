"""The halting policy and the executions alone: no Keras layer, units and scores by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers.execution import EXECUTIONS, Entry, execute
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.active_rows import find_active_rows, sum_by_image
from sact_tf.ops.positions import sum_over, times
from sact_tf.ops.row_convolution import convolve_rows

EPSILON = 0.01
GOES_ON = 0.3  # a score after which a position goes on, twice


class Average:
    """f(x) = the sum of a position and its neighbours, times a factor; one channel."""

    reach = 1

    def __init__(self, factor):
        self.kernel = tf.fill([3, 3, 1, 1], tf.constant(factor, tf.float64))
        self.evaluated = []

    def residual(self, inputs, training=None, valid=None, outer=None, inner=None):
        self.evaluated.append(int(tf.size(inputs)))
        return tf.nn.conv2d(inputs, self.kernel, 1, "SAME")

    def advance(self, inputs, active, valid=None):
        residual = times(self.residual(inputs), active)
        return inputs + residual, sum_over(residual)

    def residual_rows(self, active, ring, rows, batch, training=None):
        self.evaluated.append(int(tf.shape(active)[0]))
        residual = convolve_rows([active, ring], self.kernel, rows.neighbours, rows.num_active)
        return residual, sum_by_image(residual, rows, batch)

    def flops(self, outer, inner):
        return 100 * outer + inner


class Script:
    """Scores 1 where `num_units` [B, H, W] says that a position halts here."""

    def __init__(self, num_units, number):
        self.num_units, self.number = num_units, number

    def __call__(self, state, training=None, valid=None, positions=None, mean=None):
        self.mean = mean
        return self.scores(self.num_units)

    def score_rows(self, active, ring, rows, mean, training=None):
        self.mean = mean
        return self.scores(tf.gather(tf.reshape(self.num_units, [-1]), rows.active_positions))

    def scores(self, num_units):
        return tf.where(num_units <= self.number, tf.constant(1.0, tf.float64), GOES_ON)

    def flops(self, positions):
        return 10000 * positions


def make(num_units, length=4, kind="sact", **kwargs):
    num_units = tf.constant(num_units, tf.int32)
    scores = [Script(num_units, number) for number in range(1, length)]
    policy = HaltingPolicy(kind, length, scores, epsilon=EPSILON, **kwargs)
    return [Average(0.1 * (n + 1)) for n in range(length)], policy


def states(shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=[*shape, 1]))


def by_hand(state, num_units, factors):
    """Outputs of SACT for a given number of units, position by position."""
    state = state.numpy()[..., 0]
    output, remainder = state.copy(), np.ones_like(state)
    for number, factor in enumerate(factors, start=2):
        remainder = np.where(num_units >= number, 1 - GOES_ON * (number - 1), 0)
        padded = np.pad(state, [(0, 0), (1, 1), (1, 1)])
        total = sum(
            padded[:, dy : dy + state.shape[1], dx : dx + state.shape[2]]
            for dy in range(3)
            for dx in range(3)
        )
        residual = factor * total * (num_units >= number)
        state, output = state + residual, output + remainder * residual
    return output[..., np.newaxis]


SHAPE = (2, 4, 5)
SCRIPTS = {
    "nothing goes on": np.ones(SHAPE, int),
    "everything goes on": np.full(SHAPE, 4),
    "one image stops": np.stack([np.full(SHAPE[1:], 3), np.ones(SHAPE[1:], int)]),
    "all stop at once": np.full(SHAPE, 2),
    "each its own": np.random.default_rng(1).integers(1, 5, SHAPE),
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_positions(execution, script):
    num_units = SCRIPTS[script]
    units, policy = make(num_units)
    entry = Entry(states(SHAPE), None, None, False)
    result = execute(units, policy, entry, execution)
    np.testing.assert_array_equal(result.halting.num_units, num_units)
    expected = by_hand(entry.state, num_units, [0.2, 0.3, 0.4])
    np.testing.assert_allclose(result.output, expected, atol=1e-12)
    # h before the last unit, 1 minus their sum at it; N + R.
    remainder = 1 - GOES_ON * (num_units - 1)
    np.testing.assert_allclose(result.halting.ponder_cost, num_units + remainder)
    for number, weight in enumerate(result.weights, start=1):
        at_last = np.where(num_units == number, remainder, 0)
        np.testing.assert_allclose(weight, np.where(num_units > number, GOES_ON, at_last))
    np.testing.assert_array_equal(result.flops, flops_by_hand(num_units))
    if execution == "tiled":
        sizes = [unit.evaluated for unit in units]
        assert sizes == [[], *([int(np.sum(num_units >= n))] for n in (2, 3, 4))]


def flops_by_hand(num_units):
    """A score after each unit but the last; the units' own as `Average` counts them."""
    total = 10000 * np.full(len(num_units), num_units[0].size)
    for number in (2, 3, 4):
        active = num_units >= number
        padded = np.pad(active, [(0, 0), (1, 1), (1, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        outer, inner = windows.any(axis=(3, 4)).sum(axis=(1, 2)), active.sum(axis=(1, 2))
        total += 100 * outer + inner + (10000 * inner if number < 4 else 0)
    return total


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_images(execution):
    """ACT: images of positive first value halt after the first unit, the others run to the end."""
    start = states((3, 2, 2)).numpy()
    start[:, 0, 0, 0] = [-1, 1, -2]
    num_units = tf.constant([4, 1, 4])

    class FirstOnly(Script):
        def __call__(self, state, **kwargs):
            halts = (state[:, :1, :1, 0] > 0) if self.number == 1 else state[:, :1, :1, 0] > 1e9
            return tf.where(halts, tf.constant(1.0, tf.float64), 0.1)

    policy = HaltingPolicy("act", 4, [FirstOnly(num_units, n) for n in (1, 2, 3)], EPSILON)
    units = [Average(0.1) for _ in range(4)]
    result = execute(units, policy, Entry(tf.constant(start), None, None, False), execution)
    np.testing.assert_array_equal(result.halting.num_units[:, 0, 0], num_units)
    np.testing.assert_allclose(result.halting.ponder_cost[:, 0, 0], [4.7, 2.0, 4.7])
    np.testing.assert_allclose(result.output[1], start[1])
    each = 4 * 101
    np.testing.assert_array_equal(
        result.flops, [4 * 30000 + 3 * each, 4 * 10000, 4 * 30000 + 3 * each]
    )
    assert units[2].evaluated == [3 * 4 if execution in ("masked", "static") else 2 * 4]


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_no_halting_runs_the_chain(execution):
    units = [Average(0.1), Average(0.2)]
    state = states((1, 3, 3))
    result = execute(units, HaltingPolicy(None, 2), Entry(state, None, None, False), execution)
    np.testing.assert_allclose(result.output, state + units[1].residual(state))
    np.testing.assert_array_equal(result.halting.ponder_cost, [[[3.0]]])
    np.testing.assert_array_equal(result.flops, [9 * 101])


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_single_unit(execution):
    units, policy = make(np.ones(SHAPE, int), length=1)
    state = states(SHAPE)
    result = execute(units, policy, Entry(state, None, None, False), execution)
    np.testing.assert_array_equal(result.output, state)
    np.testing.assert_array_equal(result.halting.ponder_cost, np.full(SHAPE, 2.0))
    np.testing.assert_array_equal(result.flops, [0, 0])


@pytest.mark.parametrize("execution", ["tiled", "auto"])
def test_the_mean_is_carried_along(execution):
    """What the scores are given is the mean of the states, also where the entry knew it."""
    num_units = SCRIPTS["each its own"]
    state = states(SHAPE)
    for mean in (None, tf.reduce_mean(state, axis=[1, 2])):
        units, policy = make(num_units)
        execute(units, policy, Entry(state, mean, None, False), execution)
        current = state.numpy()
        for number, (unit, score) in enumerate(zip(units[1:], policy.scores[1:], strict=False), 2):
            active = (num_units >= number)[..., np.newaxis]
            current = current + active * unit.residual(tf.constant(current)).numpy()
            np.testing.assert_allclose(score.mean, current.mean(axis=(1, 2)), atol=1e-12)


def test_padding_never_starts():
    valid = np.zeros(SHAPE, bool)
    valid[0], valid[1, :2, :3] = True, True
    _, policy = make(np.full(SHAPE, 4))
    halting = policy.start(states(SHAPE), tf.constant(valid))
    np.testing.assert_array_equal(halting.active, valid)
    outer, inner = policy.evaluated(halting.active, states(SHAPE), tf.constant(valid))
    np.testing.assert_array_equal(outer, valid)
    np.testing.assert_array_equal(inner, valid)


def test_rows_share_their_tiles_as_maps_do():
    """Halted positions count 0 in neither: a tile is active or not as a whole."""
    num_units = np.kron([[1, 3], [3, 1]], np.ones((2, 2), int))[np.newaxis]
    policy = HaltingPolicy("sact", 4, [Ramp()] * 3, tile_size=2)
    state = states((1, 4, 4))
    active = tf.constant(num_units > 1)
    rows = find_active_rows(active)
    flat = tf.reshape(state, [-1, 1])
    pieces = [tf.gather(flat, where) for where in (rows.active_positions, rows.ring_positions)]
    received = policy.score_rows(1, *pieces, rows, None, False, None)
    on_maps = policy.score(1, state, False, None)
    np.testing.assert_allclose(received, np.where(active, on_maps, 0), atol=1e-12)
    assert len(np.unique(np.round(received, 9))) == 3


class Ramp:
    """The states themselves as scores."""

    def __call__(self, state, **kwargs):
        return state[..., 0]

    def score_rows(self, active, ring, rows, mean, training=None):
        return active[:, 0]


class TestRefusals:
    def test_full_statistics(self):
        units, policy = make(np.ones(SHAPE, int))
        entry = Entry(states(SHAPE), None, None, True)
        with pytest.raises(ValueError, match="statistics='evaluated'"):
            execute(units, policy, entry, "tiled", statistics="full")

    def test_units_of_different_reach(self):
        units, policy = make(np.ones(SHAPE, int))
        units[1].reach = 2
        with pytest.raises(TypeError, match="reach.*Average"):
            execute(units, policy, Entry(states(SHAPE), None, None, False), "auto")
