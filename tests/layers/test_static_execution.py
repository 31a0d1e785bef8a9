"""Static execution against masked execution, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import tuning
from tests.layers.scripted_score import assert_same_run, make_block, run_block

SHAPE = (3, 5, 7)
FALLING = (0.7, 0.4, 0.1)


@pytest.fixture(autouse=True)
def rows_always_pay(monkeypatch):
    monkeypatch.setattr(tuning, "share_for_static_rows", lambda filters, reach: 0.99)


def inputs(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 12))


def both(block, *args, **kwargs):
    results = []
    for execution in ("static", "masked"):
        block.execution = execution
        results.append(run_block(block, *args, **kwargs))
    return results


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("tile_size", [1, 2])
@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_outputs_and_gradients(unit, per, tile_size, training):
    """Gradients of inputs and weights, and the moving statistics after a step, too."""
    capacities = {"shares": FALLING, "per": per}
    block = make_block(unit, tile_size=tile_size, capacities=capacities, statistics="evaluated")
    received, expected = both(block, inputs(), training=training)
    assert len(np.unique(expected["exact"][0])) > 2
    assert_same_run(received, expected, 1e-8)


@pytest.mark.parametrize("units", [1, 2, 4])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_rows_that_hold_nothing(unit, units):
    """Capacities that are not reached, down to nothing at all, change nothing."""
    num_units = np.ones(SHAPE, int)
    num_units[1, 3:, 4:] = units
    block = make_block(unit, num_units)
    expected = run_block(block, inputs())
    block.capacities = 0.6
    for result in both(block, inputs()):
        assert_same_run(result, expected, 1e-10)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("tile_size", [1, 2])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_padded_batches(unit, tile_size, training):
    valid = np.zeros(SHAPE, bool)
    valid[0], valid[1, :4, :2], valid[2, :1, :1] = True, True, True
    options = {"tile_size": tile_size, "statistics": "evaluated", "capacities": FALLING}
    block = make_block(unit, **options)
    batch = np.where(valid[..., None], inputs(), np.nan)
    received, expected = both(block, batch, training=training, valid=valid)
    for result in (received, expected):
        result["features"] = [result["features"][0] * valid[..., None]]
    assert_same_run(received, expected, 1e-8)


@pytest.mark.parametrize(
    ("unit", "per", "tile_size", "training"),
    [
        ("bottleneck", "image", 1, True),
        ("basic", "batch", 2, True),
        ("bottleneck", "batch", 2, False),
    ],
)
def test_compiled_by_xla(unit, per, tile_size, training):
    """A function of any size, forward and backward; float32, as XLA is used."""
    options = {"tile_size": tile_size, "length": 2, "dtype": "float32"}
    block = make_block(unit, capacities={"shares": 0.4, "per": per}, **options)
    block.execution = "static"
    assert block.supports_jit
    start = block.get_weights()

    def step(batch):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            features, halted = block(batch, training=training)
            loss = tf.reduce_sum(features**2) + block.losses[0]
        sources = [batch, *(variable.value for variable in block.trainable_variables)]
        zero = tf.UnconnectedGradients.ZERO
        return features, halted, tape.gradient(loss, sources, unconnected_gradients=zero)

    spec = tf.TensorSpec([None, None, None, 12], tf.float32)
    compiled = tf.function(step, input_signature=[spec], jit_compile=True)
    for shape in [(3, 4, 5)] if training else [(3, 4, 5), (2, 1, 6)]:
        batch = tf.constant(inputs(shape), tf.float32)
        block.set_weights(start)
        received = tf.nest.flatten(compiled(batch))
        block.set_weights(start)
        block.execution, expected = "masked", None
        block._statistics = "evaluated"
        expected = tf.nest.flatten(step(batch))
        block.execution = "static"
        for ours, theirs in zip(received, expected, strict=True):
            scale = np.max(np.abs(theirs)) + 1e-6
            np.testing.assert_allclose(ours, theirs, atol=2e-4 * scale)


def test_full_statistics_need_the_full_map():
    block = make_block(statistics="full", execution="static", capacities=0.5)
    block(inputs())
    with pytest.raises(ValueError, match="statistics='evaluated'"):
        block(inputs(), training=True)
    assert make_block(execution="static").statistics == "evaluated"


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_without_capacities_everything_is_computed(halting):
    block = make_block(halting=halting, statistics="evaluated")
    for training in (False, True):
        received, expected = both(block, inputs(), training=training)
        assert_same_run(received, expected, 1e-12)


@pytest.mark.parametrize(("limit", "in_rows"), [(0.9, [2, 3]), (0.2, [3]), (0.05, [])])
def test_units_compute_as_many_rows_as_may_enter(limit, in_rows, monkeypatch):
    """Or the whole map, where rows do not pay."""
    monkeypatch.setattr(tuning, "share_for_static_rows", lambda filters, reach: limit)
    block = make_block(num_units=np.full(SHAPE, 4), capacities=[1.0, 0.4, 0.1])
    seen = []
    for index, unit in enumerate(block.units):
        original = unit.residual_at

        def spy(inputs, rows, original=original, index=index, **kwargs):
            seen.append((index, rows.positions.shape[0]))
            return original(inputs, rows, **kwargs)

        object.__setattr__(unit, "residual_at", spy)
    block.execution = "static"
    block(inputs())
    assert seen == [(unit, 3 * {2: 14, 3: 4}[unit]) for unit in in_rows]


def test_gradient_by_finite_differences():
    options = {"execution": "static", "length": 3, "capacities": [0.6, 0.3]}
    block = make_block(**options)
    batch = tf.Variable(inputs((1, 3, 3)))
    kernel = block.units[1].conv2.kernel
    factor = np.random.default_rng(4).normal(size=(1, 3, 3, 12))

    def loss():
        features, halting = block(batch)
        return tf.reduce_sum(features * factor) + tf.reduce_sum(halting["ponder_cost"])

    with tf.GradientTape() as tape:
        value = loss()
    variables = [batch, kernel]
    gradients = tape.gradient(value, [batch, kernel.value])
    for variable, gradient in zip(variables, gradients, strict=True):
        start = variable.numpy()
        direction, ends = np.random.default_rng(5).normal(size=start.shape), []
        for step in (1e-6, -1e-6):
            variable.assign(start + step * direction)
            ends.append(float(loss()))
        variable.assign(start)
        expected = (ends[0] - ends[1]) / 2e-6
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(expected, rel=1e-5)
