"""Tiled and auto execution against masked execution, in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import AdaptiveBlock, BottleneckUnit
from sact_tf.layers.costs import Costs
from sact_tf.ops.positions import strided_size
from sact_tf.ops.tiles import spread_tiles
from tests.layers.scripted_score import BOTH, assert_same_run, make_block, run_block, taking

SHAPE = (3, 5, 7)
LENGTH = 4
SCRIPTS = ("nothing", "everything", "corner", "unequal images", "random", "two units")


def scripts(tile_size):
    """Units per position, [B, H, W], shared within tiles; partial tiles at 5 rows, 7 columns."""
    tiles = (SHAPE[0], *(strided_size(side, tile_size) for side in SHAPE[1:]))
    rng = np.random.default_rng(tile_size)
    corner = np.ones(tiles, int)
    corner[1, -1, -1] = LENGTH
    unequal = np.ones(tiles, int)
    unequal[0], unequal[1, 0, 0] = LENGTH, 2
    grids = {
        "nothing": np.ones(tiles, int),
        "everything": np.full(tiles, LENGTH),
        "corner": corner,
        "unequal images": unequal,
        "random": rng.integers(1, LENGTH + 1, tiles),
        "two units": np.full(tiles, 2),
    }
    return {
        name: spread_tiles(tf.constant(grid), tile_size, *SHAPE[1:]).numpy()
        for name, grid in grids.items()
    }


def inputs(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 12))


def both(block, execution, *args, **kwargs):
    block.execution = execution
    received = run_block(block, *args, **kwargs)
    block.execution = "masked"
    return received, run_block(block, *args, **kwargs)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(("tile_size", "window"), [(1, 0), (2, 0), (1, 3), (2, 2), (1, BOTH)])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_outputs_and_gradients(unit, window, tile_size, script):
    num_units = scripts(tile_size)[script]
    block = make_block(unit, num_units, tile_size=tile_size, costs=taking(window))
    received, expected = both(block, "tiled", inputs())
    np.testing.assert_array_equal(received["exact"][0], num_units)
    assert_same_run(received, expected)


@pytest.mark.parametrize("script", ["nothing", "two units", "random"])
@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_the_kernels_of_float32(unit, window, script):
    """Other ones than those of float64, also where a form holds nothing (any more)."""
    num_units = scripts(1)[script]
    block = make_block(unit, num_units, dtype="float32", costs=taking(window))
    received, expected = both(block, "tiled", inputs().astype("float32"))
    assert_same_run(received, expected, 1e-4)


@pytest.mark.parametrize("script", ["nothing", "corner", "random", "everything"])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_training_on_evaluated_positions(unit, script):
    """Batch statistics, their gradients, and the moving statistics after the step."""
    block = make_block(unit, scripts(1)[script], statistics="evaluated")
    received, expected = both(block, "tiled", inputs(), training=True)
    # Where next to nothing is evaluated, 1 / sqrt(variance) amplifies the rounding.
    assert_same_run(received, expected, 1e-8)
    assert all(np.all(np.isfinite(array)) for arrays in received.values() for array in arrays)


@pytest.mark.parametrize("script", ["nothing", "random", "everything"])
@pytest.mark.parametrize("execution", ["tiled", "auto"])
@pytest.mark.parametrize("window", [0, 3, BOTH])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_gradients_of_inference_in_a_function(unit, window, execution, script):
    """Of the input and the weights, from within a branch, and again in the second call."""
    block = make_block(unit, np.minimum(scripts(1)[script], 3), length=3, costs=taking(window))

    def gradients(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            features = tf.cond(
                tf.size(images) > 0,
                lambda: block(images, training=False)[0],
                lambda: tf.zeros([*SHAPE, 12], images.dtype),
            )
            total = tf.reduce_sum(features**3)
        sources = [images, *(variable.value for variable in block.trainable_variables)]
        return tape.gradient(total, sources, unconnected_gradients="zero")

    images = tf.constant(inputs())
    expected = gradients(images)
    block.execution = execution
    compiled = tf.function(gradients, autograph=False)
    compiled(images)
    for received, wanted in zip(compiled(images), expected, strict=True):
        np.testing.assert_allclose(received, wanted, atol=1e-10)


@pytest.mark.parametrize("execution", ["tiled", "auto"])
@pytest.mark.parametrize("window", [0, 3, BOTH])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_a_block_stops_where_nothing_is_active(unit, window, execution):
    """Units that no position enters are not evaluated anywhere: what they would give is NaN."""
    block = make_block(unit, scripts(1)["two units"], costs=taking(window))
    expected = run_block(block, inputs())
    for late in block.units[2:]:
        late.set_weights([np.full_like(weight, np.nan) for weight in late.get_weights()])
    block.execution = execution
    features, halting = block(inputs())
    np.testing.assert_allclose(features, expected["features"][0], rtol=1e-10)
    np.testing.assert_array_equal(halting["num_units"], 2)
    np.testing.assert_array_equal(halting["flops"], expected["exact"][1])


def test_statistics_of_nothing_stay_as_they_are():
    block = make_block(num_units=scripts(1)["nothing"], execution="tiled")
    before = [unit.get_weights() for unit in block.units]
    block(inputs(), training=True)
    moved = [
        any(np.any(a != b) for a, b in zip(unit.get_weights(), weights, strict=True))
        for unit, weights in zip(block.units, before, strict=True)
    ]
    assert moved == [True, False, False, False]


@pytest.mark.parametrize("execution", ["tiled", "auto"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_act_lets_finished_images_go(unit, training, execution):
    block = make_block(unit, halting="act", statistics="evaluated")
    batch = inputs((6, 4, 3)) * np.array([0.1, 0.3, 1, 2, 3, 5]).reshape(-1, 1, 1, 1)
    valid = np.zeros((6, 4, 3), bool)
    valid[:3], valid[3:, :3, :2] = True, True
    for present in (None, tf.constant(valid)):
        received, expected = both(block, execution, batch, training=training, valid=present)
        assert len(np.unique(received["exact"][0])) > 1, "all images stop at the same unit"
        assert_same_run(received, expected, 1e-8)


@pytest.mark.parametrize("execution", ["tiled", "auto"])
@pytest.mark.parametrize(
    ("tile_size", "window", "training"),
    [
        (1, 0, False),
        (3, 0, False),
        (1, 2, False),
        (3, 16, False),
        (1, BOTH, False),
        (1, 0, True),
        (3, 16, True),
    ],
)
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_padded_batches(unit, window, tile_size, training, execution):
    """The network's own scores, shared within tiles that reach into the padding."""
    valid = np.zeros(SHAPE, bool)
    valid[0], valid[1, :4, :2], valid[2, :1, :1] = True, True, True
    block = make_block(unit, tile_size=tile_size, costs=taking(window), statistics="evaluated")
    batch = np.where(valid[..., None], inputs(), 0)
    received, expected = both(block, execution, batch, training=training, valid=valid)
    assert len(np.unique(received["exact"][0])) > 2
    for result in (received, expected):
        result["features"] = [result["features"][0] * valid[..., None]]
    assert_same_run(received, expected, 1e-8)


def spied(block, method):
    """The numbers of the units after the first of which a method is called, as they are called."""
    calls = []
    for index, unit in enumerate(block.units[1:], start=1):
        object.__setattr__(unit, method, _calling(getattr(unit, method), calls, index))
    return calls


def _calling(original, calls, index):
    def spy(*args, **kwargs):
        calls.append(index)
        return original(*args, **kwargs)

    return spy


FALLING = np.random.default_rng(3).permutation(np.prod(SHAPE)).reshape(SHAPE)
FALLING = 1 + sum(FALLING < share * FALLING.size for share in (0.9, 0.5, 0.1))


@pytest.mark.parametrize(
    ("form", "training"), [("rows", False), ("windows", False), ("rows", True)]
)
@pytest.mark.parametrize(
    ("line", "dense"), [((1, 0), [1, 2, 3]), ((0.5, 1), [1, 2]), ((0, 2.5), [1, 2]), ((0, 1), [])]
)
def test_auto_changes_over_where_it_pays_but_not_in_training(training, line, dense, form):
    costs = {form: line, "window": 1}
    block = make_block(num_units=FALLING, costs=costs, statistics="evaluated")
    runs = spied(block, "advance")
    block.execution = "auto"
    received = run_block(block, inputs(), training=training)
    assert runs == ([] if training else dense)
    block.execution = "masked"
    assert_same_run(received, run_block(block, inputs(), training=training), 1e-8)


@pytest.mark.parametrize(
    ("execution", "rows", "windows", "runs"),
    [
        ("auto", (0.7, 0), (0, 2), {"dense": [], "rows": [1, 2, 3], "windows": []}),
        ("auto", (0, 1.2), (0, 1.1), {"dense": [], "rows": [], "windows": [1, 2, 3]}),
        ("auto", (0.75, 2), (0.7, 1), {"dense": [1, 2], "rows": [], "windows": [3]}),
        ("auto", (0.2, 3), (0.3, 2.9), {"dense": [1, 2], "rows": [3], "windows": []}),
        ("tiled", (0, 1.2), (0.1, 1), {"dense": [], "rows": [], "windows": [1, 2, 3]}),
        ("tiled", (0.3, 2), (0, 3), {"dense": [], "rows": [1, 2, 3], "windows": []}),
    ],
)
def test_the_cheapest_form_runs(execution, rows, windows, runs):
    """At 0.9, 0.5 and 0.1 of the positions, which are as many tiles of one position."""
    block = make_block(num_units=FALLING, costs={"rows": rows, "windows": windows, "window": 1})
    methods = {"dense": "advance", "rows": "residual_rows", "windows": "residual_windows"}
    seen = {name: spied(block, method) for name, method in methods.items()}
    block.execution = execution
    block(inputs())
    assert seen == runs


@pytest.mark.parametrize(
    ("rows", "runs"),
    [((0.05, 1), {"dense": [], "rows": [1, 2]}), ((0.15, 1), {"dense": [1, 2], "rows": []})],
)
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_a_short_block_decides_once(unit, rows, runs):
    """At 0.9 of the positions, and not again at a half of them."""
    num_units = np.minimum(FALLING, 3)
    block = make_block(unit, num_units, length=3, costs={"rows": rows})
    seen = {"dense": spied(block, "advance"), "rows": spied(block, "residual_rows")}
    block.execution = "auto"
    received = run_block(block, inputs())
    assert seen == runs
    block.execution = "masked"
    assert_same_run(received, run_block(block, inputs()), 1e-8)
    np.testing.assert_array_equal(received["exact"][0], num_units)


@pytest.mark.parametrize("execution", ["tiled", "auto"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("halting", "window"), [("sact", 0), ("sact", 3), ("sact", BOTH), ("act", None)]
)
def test_compiled_for_any_batch_and_size(halting, window, training, execution):
    """One traced function; the graph itself finds out how many rows there are."""
    options = {"halting": halting, "costs": taking(window), "statistics": "evaluated"}
    block = make_block("basic", length=3, **options)
    block.execution = execution
    start = block.get_weights()

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 12], tf.float64)])
    def compiled(batch):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            features, halted = block(batch, training=training)
            loss = tf.reduce_sum(features**2) + tf.cast(block.losses[0], tf.float64)
        sources = [batch, *(variable.value for variable in block.trainable_variables)]
        zero = tf.UnconnectedGradients.ZERO
        return features, halted, tape.gradient(loss, sources, unconnected_gradients=zero)

    for shape in [(1, 1, 1), (3, 4, 5), (2, 1, 6)]:
        results = []
        for name in (execution, "masked"):
            block.set_weights(start)
            block.execution = name
            function = compiled if name == execution else compiled.python_function
            results.append(tf.nest.flatten(function(tf.constant(inputs(shape)))))
        for received, expected in zip(*results, strict=True):
            scale = np.max(np.abs(expected)) + 1e-6
            np.testing.assert_allclose(received, expected, atol=1e-8 * scale)


def test_gradient_by_finite_differences():
    block = make_block(num_units=scripts(1)["random"][:1, :3, :3], execution="tiled", length=3)
    batch = inputs((1, 3, 3))
    variables = [block.units[1].conv2.kernel, block.units[1].preact.gamma]
    variables.append(block.halting_scores[1].local_conv.kernel)
    factor = np.random.default_rng(4).normal(size=(1, 3, 3, 12))

    def loss(batch):
        features, halting = block(batch)
        return tf.reduce_sum(features * factor) + tf.reduce_sum(halting["ponder_cost"])

    batch = tf.Variable(batch)
    with tf.GradientTape() as tape:
        value = loss(batch)
    gradients = tape.gradient(value, [batch, *variables])
    rng = np.random.default_rng(5)
    for variable, gradient in zip([batch, *variables], gradients, strict=True):
        direction = rng.normal(size=variable.shape)
        start, ends = np.array(keras.ops.convert_to_numpy(variable)), []
        for step in (1e-6, -1e-6):
            variable.assign(start + step * direction)
            ends.append(float(loss(batch)))
        variable.assign(start)
        expected = (ends[0] - ends[1]) / 2e-6
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(expected, rel=1e-5)


def test_full_statistics_need_the_full_map():
    block = make_block(statistics="full", execution="tiled")
    block(inputs())
    with pytest.raises(ValueError, match="statistics='evaluated'"):
        block(inputs(), training=True)
    assert make_block(execution="tiled").statistics == "evaluated"
    assert make_block(execution="masked").statistics == "full"


@pytest.mark.parametrize("execution", ["tiled", "auto"])
def test_xla_is_refused_in_words(execution):
    block = make_block(execution=execution)
    assert not block.supports_jit
    compiled = tf.function(block, jit_compile=True)
    with pytest.raises(NotImplementedError, match="set_execution.*'masked'"):
        compiled(tf.constant(inputs()))
    block.execution = "masked"
    assert block.supports_jit


def test_units_without_rows_are_refused_by_name():
    block = make_block(execution="tiled")
    for unit in block.units:
        unit.reach = None
    with pytest.raises(TypeError, match="residual_rows.*BottleneckUnit"):
        block(inputs())


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({}, "of rows, of windows or of both"),
        ({"window": 8}, "of rows, of windows or of both"),
        ({"columns": (0, 1)}, "rows.*windows.*window.*columns"),
        ({"rows": (0, -1)}, r"pairs of numbers >= 0.*\(0, -1\)"),
        ({"rows": 0.5}, "pairs of numbers"),
        ({"rows": (0, 1), "window": 0}, "positive int.*0"),
        (0.5, "have some of"),
    ],
)
def test_costs_are_checked(costs, message):
    with pytest.raises(ValueError, match=message):
        make_block(costs=costs)


def test_costs_of_what_a_block_does_not_do():
    with pytest.raises(ValueError, match="halting='sact', received 'act'"):
        make_block(halting="act", costs=taking(0))


def test_default_costs_are_of_the_nearest_width_and_of_tiles_that_fill_windows():
    block = make_block("basic", tile_size=8)
    assert block.costs.windows and block.own_costs is None
    assert make_block("basic", tile_size=7).costs.windows is None
    narrow, wide = (AdaptiveBlock([BottleneckUnit(n)], halting="sact").costs for n in (50, 300))
    assert narrow.windows is wide.windows is None
    assert narrow == AdaptiveBlock([BottleneckUnit(64)], halting="sact").costs != wide


def test_what_can_never_be_the_cheapest_is_left_out():
    """Tiles with anything active are never fewer than active positions, and of tiles of the
    window's size as many."""
    cheap, dear = (0.1, 1.0), (0.2, 2.0)
    assert Costs(rows=cheap, windows=dear).candidates(1) == {"rows": cheap}
    assert Costs(rows=dear, windows=cheap).candidates(1) == {"rows": dear, "windows": cheap}
    assert Costs(rows=dear, windows=cheap).candidates(8) == {"windows": cheap}


def test_training_takes_rows_where_inference_takes_windows():
    num_units = scripts(8)["random"]
    options = {"tile_size": 8, "costs": taking(8), "statistics": "evaluated"}
    block = make_block("basic", num_units, **options)
    for training in (False, True):
        received, expected = both(block, "tiled", inputs(), training=training)
        assert_same_run(received, expected, 1e-8)
