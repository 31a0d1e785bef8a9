"""A hard limit on what enters a unit: all executions against the algorithm written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import AdaptiveBlock, BottleneckUnit
from sact_tf.layers.capacities import Capacities
from tests.layers.reference_block import run_reference
from tests.layers.scripted_score import BOTH, assert_same_run, make_block, run_block, taking

SHAPE = (3, 5, 7)
FALLING = (0.7, 0.4, 0.1)
COMPACT = ("tiled", "auto")


def inputs(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 12))


def run(block, execution, *args, **kwargs):
    block.execution = execution
    return run_block(block, *args, **kwargs)


@pytest.mark.parametrize("tile_size", [1, 2, 3])
@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_masked_is_the_algorithm_written_out(unit, per, tile_size):
    capacities = {"shares": FALLING, "per": per}
    block = make_block(unit, tile_size=tile_size, capacities=capacities)
    batch = tf.constant(inputs() * [[[[0.3]]], [[[1.0]]], [[[2.0]]]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(batch)
        results = [block(batch), run_reference(block, batch)]
        losses = [tf.reduce_sum(out**2) + halting["ponder_cost_mean"] for out, halting in results]
    (out, halting), (expected, expected_halting) = results
    np.testing.assert_allclose(out, expected, rtol=1e-9)
    for name, value in expected_halting.items():
        np.testing.assert_allclose(halting[name], value, rtol=1e-9, err_msg=name)
    ours, theirs = (tape.gradient(loss, batch) for loss in losses)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    uncapped = AdaptiveBlock.from_config({**block.get_config(), "capacities": None})
    uncapped.build((None, None, None, 12))
    uncapped.set_weights(block.get_weights())
    assert np.any(uncapped(batch)[1]["num_units"] > halting["num_units"]), "nothing was cut"
    total = tf.reduce_sum(halting["halting_distribution"], axis=-1)
    np.testing.assert_allclose(total, 1, rtol=1e-12)


@pytest.mark.parametrize("execution", COMPACT)
@pytest.mark.parametrize(("tile_size", "window"), [(1, 0), (3, 0), (1, 3), (2, 2), (1, BOTH)])
@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_executions_agree(unit, per, window, tile_size, execution):
    options = {"tile_size": tile_size, "costs": taking(window)}
    block = make_block(unit, capacities={"shares": FALLING, "per": per}, **options)
    expected = run(block, "masked", inputs())
    assert len(np.unique(expected["exact"][0])) > 2
    assert_same_run(run(block, execution, inputs()), expected, 1e-9)


@pytest.mark.parametrize("execution", COMPACT)
@pytest.mark.parametrize("tile_size", [1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_padded_batches(training, tile_size, execution):
    valid = np.zeros(SHAPE, bool)
    valid[0], valid[1, :4, :2], valid[2, :1, :1] = True, True, True
    options = {"tile_size": tile_size, "statistics": "evaluated", "capacities": FALLING}
    block = make_block("basic", **options)
    batch = np.where(valid[..., None], inputs(), 0)
    received, expected = (
        run(block, name, batch, training=training, valid=valid) for name in (execution, "masked")
    )
    for result in (received, expected):
        result["features"] = [result["features"][0] * valid[..., None]]
    assert_same_run(received, expected, 1e-8)


@pytest.mark.parametrize("execution", ["masked", *COMPACT])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_where_nothing_is_cut_nothing_changes(per, execution):
    num_units = np.ones(SHAPE, int)
    num_units[:, :2, :2], num_units[:, 0, 0] = 3, 4
    block = make_block(num_units=num_units, execution=execution)
    expected = run_block(block, inputs())
    block.capacities = {"shares": [4 / 35, 4 / 35, 1 / 35], "per": per}
    received = run_block(block, inputs())
    for name, arrays in expected.items():
        for ours, theirs in zip(received[name], arrays, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
    block.capacities = [4 / 35, 3 / 35, 1 / 35]
    assert np.any(run_block(block, inputs())["exact"][0] != num_units)


@pytest.mark.parametrize("execution", ["masked", *COMPACT])
def test_no_more_than_the_capacity_and_at_least_one(execution):
    block = make_block(num_units=np.full(SHAPE, 4), execution=execution)
    block.capacities = [0.5, 0.5, 0.001]
    num_units = block(inputs())[1]["num_units"].numpy()
    counts = [(num_units > unit).sum(axis=(1, 2)) for unit in range(1, 4)]
    np.testing.assert_array_equal(counts, [[18] * 3, [18] * 3, [1] * 3])
    block.capacities = {"shares": 0.001, "per": "batch"}
    assert (block(inputs())[1]["num_units"].numpy() > 1).sum() == 1


def test_capacities_are_saved(tmp_path):
    image = keras.Input((None, None, 12))
    block = make_block(dtype="float32", capacities={"shares": FALLING, "per": "batch"})
    model = keras.Model(image, block(image))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].capacities == block.capacities == Capacities(FALLING, "batch")
    batch = inputs().astype("float32")
    np.testing.assert_array_equal(loaded(batch)[1]["num_units"], model(batch)[1]["num_units"])


@pytest.mark.parametrize(
    ("capacities", "message"),
    [
        (0, r"shares in \(0, 1\]"),
        (1.5, r"shares in \(0, 1\]"),
        (True, "a share or one for each"),
        ([0.5, 0.5], r"one for each unit after the entry units \(3\)"),
        ([0.5, 0.6, 0.6], "do not grow"),
        ({"shares": 0.5, "per": "pixel"}, "per='pixel'"),
        ({"share": 0.5}, "shares and per"),
        ("half", "a share or one for each"),
    ],
)
def test_capacities_are_checked(capacities, message):
    with pytest.raises(ValueError, match=message):
        make_block(capacities=capacities)


@pytest.mark.parametrize("halting", [None, "act"])
def test_capacities_need_positions(halting):
    units = [BottleneckUnit(3), BottleneckUnit(3)]
    with pytest.raises(ValueError, match="need halting='sact'"):
        AdaptiveBlock(units, halting=halting, capacities=0.5)
