"""Masked execution of a block against the paper's algorithms, position by position."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import AdaptiveBlock, BasicUnit, BottleneckUnit
from sact_tf.ops.flops import conv2d_flops
from tests.harness import assert_same, padded_batch, randomize
from tests.layers.reference_block import run_reference

CHANNELS = 8
BATCH_NORM = {"epsilon": 1e-3, "momentum": 0.9}


def make_units(unit, stride, number, dtype="float64"):
    options = {"batch_norm": BATCH_NORM, "dtype": dtype}
    if unit == "bottleneck":
        first = [BottleneckUnit(3, stride=stride, name="unit_1", **options)]
        return first + [
            BottleneckUnit(3, name=f"unit_{n}", **options) for n in range(2, number + 1)
        ]
    first = [BasicUnit(10, stride=stride, name="unit_1", **options)]
    return first + [BasicUnit(10, name=f"unit_{n}", **options) for n in range(2, number + 1)]


def make_block(halting, unit="bottleneck", stride=1, number=4, dtype="float64", **kwargs):
    units = make_units(unit, stride, number, dtype)
    return build_block(units, halting, dtype, **kwargs)


def make_block_with_entry(halting, unit="bottleneck", number=5, **kwargs):
    """A strided unit, then one that changes the channels: both run everywhere."""
    make, before, after = {"bottleneck": (BottleneckUnit, 2, 3), "basic": (BasicUnit, 8, 10)}[unit]
    options = {"batch_norm": BATCH_NORM, "dtype": "float64"}
    units = [make(before, stride=2, **options)]
    units += [make(after, **options) for _ in range(1, number)]
    return build_block(units, halting, entry_units=2, **kwargs)


def build_block(units, halting, dtype="float64", **kwargs):
    options = {"halting_bias": -1.0, "ponder_weight": 0.01, "batch_norm": BATCH_NORM, **kwargs}
    block = AdaptiveBlock(units, halting=halting, dtype=dtype, **options)
    block.build((None, None, None, CHANNELS))
    return randomize(block, seed=3)


def images(shape, seed=0, dtype="float64"):
    return tf.constant(np.random.default_rng(seed).normal(size=[*shape, CHANNELS]), dtype)


def with_gradients(function, block, inputs):
    """Outputs of `function(inputs)` and the gradients of a sum of all of them."""
    variables = [variable.value for variable in block.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output, halting = function(inputs)
        distribution = halting["halting_distribution"]
        total = (
            tf.reduce_sum(output**2)
            + tf.reduce_sum(halting["ponder_cost"])
            + tf.reduce_sum(distribution * tf.range(distribution.shape[-1], dtype=inputs.dtype))
        )
    gradients = tape.gradient(total, [inputs, *variables], unconnected_gradients="zero")
    return (output, halting), gradients


def check_against_reference(block, inputs, training=False):
    result, gradients = with_gradients(lambda maps: block(maps, training=training), block, inputs)
    expected, expected_gradients = with_gradients(
        lambda maps: run_reference(block, maps, training), block, inputs
    )
    assert_same(result, expected, 1e-11)
    assert_same(gradients, expected_gradients, 1e-9)
    return result


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
@pytest.mark.parametrize("halting", [None, "act", "sact"])
def test_equals_the_algorithm(halting, unit, training):
    block = make_block(halting, unit, stride=2)
    _, halting_outputs = check_against_reference(block, images([3, 9, 7]), training)
    if halting is not None and not training:
        assert len(np.unique(halting_outputs["num_units"])) >= 2, "the case decides nothing"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
@pytest.mark.parametrize("halting", [None, "act", "sact"])
def test_entry_units(halting, unit, training):
    """They run everywhere, count as units of score 0, and no score is computed before the last."""
    bias = {"bottleneck": 0.0, "basic": -1.0}[unit]
    block = make_block_with_entry(halting, unit, halting_bias=bias)
    assert len(block.halting_scores) == (0 if halting is None else 3)
    assert block.stride == 2
    inputs = images([3, 9, 7])
    _, halts = check_against_reference(block, inputs, training)
    assert np.min(halts["num_units"]) >= 2
    assert not np.any(halts["halting_distribution"][..., 0])
    if not training and halting is not None:
        assert len(np.unique(halts["num_units"])) >= 2, "the case decides nothing"
        expected = block(inputs)
        for execution in ("tiled", "auto"):
            block.execution = execution
            assert_same(block(inputs), expected, 1e-10)


@pytest.mark.parametrize("halting", [None, "act", "sact"])
def test_a_block_of_entry_units_alone(halting):
    block = make_block_with_entry(halting, number=2)
    assert block.halting_scores == []
    for execution in ("masked", "tiled", "auto"):
        block.execution = execution
        _, halts = check_against_reference(block, images([2, 6, 5]))
        np.testing.assert_array_equal(np.unique(halts["ponder_cost"]), [3.0])


@pytest.mark.parametrize("tile_size", [2, 3, 4, 16])
@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 1), (1, 6)])
def test_tiles(size, tile_size):
    block = make_block("sact", tile_size=tile_size)
    _, halting = check_against_reference(block, images([2, *size]))
    units = halting["num_units"].numpy()
    for top in range(0, size[0], tile_size):
        for left in range(0, size[1], tile_size):
            tile = units[:, top : top + tile_size, left : left + tile_size].reshape(2, -1)
            assert (tile == tile[:, :1]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2)])
@pytest.mark.parametrize("halting", ["act", "sact"])
def test_small_maps_and_a_batch_of_one(halting, size):
    check_against_reference(make_block(halting), images([1, *size]))
    check_against_reference(make_block(halting, "basic", stride=2), images([1, *size]))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("halting", [None, "act", "sact"])
def test_short_blocks(halting, number):
    block = make_block(halting, number=number)
    assert len(block.halting_scores) == (0 if halting is None else number - 1)
    check_against_reference(block, images([2, 4, 5]))


@pytest.mark.parametrize("halting, tile_size", [("act", 1), ("sact", 1), ("sact", 2)])
@pytest.mark.parametrize("bias, num_units", [(10.0, 1), (-10.0, 4)])
def test_all_or_nothing(halting, bias, num_units, tile_size):
    """Everything finishes after the first unit; nothing does before the last."""
    block = make_block(halting, halting_bias=bias, tile_size=tile_size)
    for score in block.halting_scores:
        for layer in (score.local_conv, score.global_conv):
            if layer is not None:
                layer.kernel.assign(layer.kernel * 0.01)
    inputs = images([2, 5, 6])
    output, outputs = check_against_reference(block, inputs)
    np.testing.assert_array_equal(np.unique(outputs["num_units"]), [num_units])
    first = block.units[0](inputs)
    plain = int(first.shape[1] * first.shape[2])
    if num_units == 1:
        np.testing.assert_allclose(output, first, rtol=1e-12)
        np.testing.assert_allclose(outputs["ponder_cost"], 2.0)
        score_flops = block.halting_scores[0].flops(tf.constant([plain], tf.int64))
        # The later global branches count one position each; nothing else is left.
        rest = 2 * 2 * 12 if halting == "sact" else 0
        expected = block.units[0].flops(plain, plain) + score_flops[0] + rest
        np.testing.assert_array_equal(outputs["flops"], [expected] * 2)
    else:
        assert (outputs["ponder_cost"].numpy() > 4.99).all()


def test_plain_block_is_the_chain_of_its_units():
    block = make_block(None)
    inputs = images([2, 5, 6])
    state = inputs
    for unit in block.units:
        state = unit(state)
    output, halting = block(inputs)
    np.testing.assert_allclose(output, state, rtol=1e-12)
    np.testing.assert_array_equal(halting["num_units"], np.full([2, 1, 1], 4))
    np.testing.assert_array_equal(halting["ponder_cost"], np.full([2, 1, 1], 5.0))
    np.testing.assert_array_equal(halting["halting_distribution"], [[[[0, 0, 0, 1]]]] * 2)
    assert block.losses == []


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_dtypes_and_the_sum_of_the_distribution(halting):
    for dtype, expected in (("float32", "float32"), ("mixed_bfloat16", "float32")):
        block = make_block(halting, dtype=dtype)
        output, outputs = block(images([2, 4, 5], dtype="float32"))
        assert output.dtype == ("bfloat16" if "16" in dtype else "float32")
        assert outputs["ponder_cost"].dtype == expected
        assert outputs["halting_distribution"].dtype == expected
        assert outputs["num_units"].dtype == "int32"
        assert outputs["flops"].dtype == "int64"
        assert block.losses[0].dtype == expected
        total = tf.reduce_sum(outputs["halting_distribution"], axis=-1)
        np.testing.assert_allclose(total, np.ones(total.shape), rtol=1e-5)
        np.testing.assert_allclose(
            outputs["ponder_cost"],
            tf.cast(outputs["num_units"], tf.float32) + last_weight(outputs),
            rtol=1e-5,
        )


def last_weight(outputs):
    """The remainder: the weight of the last evaluated unit."""
    return tf.gather(
        outputs["halting_distribution"], outputs["num_units"] - 1, axis=-1, batch_dims=3
    )


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_ponder_loss(halting):
    block = make_block(halting)
    _, outputs = block(images([2, 4, 5]))
    (loss,) = block.losses
    np.testing.assert_allclose(outputs["ponder_cost_mean"], np.mean(outputs["ponder_cost"]))
    np.testing.assert_allclose(loss, 0.01 * outputs["ponder_cost_mean"], rtol=1e-6)
    block.ponder_weight = 0.5
    block(images([2, 4, 5]))
    (loss,) = block.losses
    np.testing.assert_allclose(loss, 0.5 * np.mean(outputs["ponder_cost"]), rtol=1e-6)


def test_the_order_of_the_outputs():
    """Files of functional models know an output by its place among the sorted names."""
    _, outputs = make_block("sact")(images([1, 2, 2]))
    known = ["flops", "halting_distribution", "num_units", "ponder_cost"]
    assert sorted(outputs)[: len(known)] == known


class TestValid:
    """The same image alone and in a padded batch, for a block by itself."""

    SIZES = [(5, 7), (8, 3), (1, 1), (8, 8), (2, 8)]

    @pytest.mark.parametrize("fill, entry_units", [(1e3, 1), (np.nan, 1), (np.nan, 2)])
    @pytest.mark.parametrize("unit", ["bottleneck", "basic"])
    @pytest.mark.parametrize(
        "halting, tile_size", [(None, 1), ("act", 1), ("sact", 1), ("sact", 3)]
    )
    def test_inference(self, halting, tile_size, unit, fill, entry_units):
        make = (
            make_block_with_entry if entry_units == 2 else functools.partial(make_block, stride=2)
        )
        block = make(halting, unit, tile_size=tile_size)
        alone, batch, valid = padded_batch(self.SIZES, 8, 8, CHANNELS, fill, dtype="float64")
        output, together = block(batch, valid=tf.constant(valid))
        costs = []
        for index, image in enumerate(alone):
            expected, halts = block(image[None])
            rows, columns = expected.shape[1:3]
            np.testing.assert_allclose(output[index, :rows, :columns], expected[0], atol=1e-10)
            for name in ("ponder_cost", "num_units", "halting_distribution"):
                map_rows, map_columns = halts[name].shape[1:3]
                np.testing.assert_allclose(
                    together[name][index, :map_rows, :map_columns], halts[name][0], atol=1e-10
                )
                if halting == "sact":
                    assert not np.any(together[name][index, map_rows:])
                    assert not np.any(together[name][index, :, map_columns:])
            assert int(together["flops"][index]) == int(halts["flops"][0])
            costs.append(np.mean(halts["ponder_cost"]))
        if halting is not None:
            block(batch, valid=tf.constant(valid))
            np.testing.assert_allclose(sum(block.losses), 0.01 * np.mean(costs), rtol=1e-6)

    @pytest.mark.parametrize("statistics", ["full", "evaluated"])
    @pytest.mark.parametrize("unit", ["bottleneck", "basic"])
    @pytest.mark.parametrize("halting", [None, "act", "sact"])
    def test_training(self, halting, unit, statistics):
        """Images of one size, padded: outputs, moving statistics and gradients."""
        alone, batch, valid = padded_batch([(5, 6)] * 3, 8, 9, CHANNELS, np.nan, dtype="float64")
        results = []
        for inputs, chosen in ((np.stack(alone), None), (batch, tf.constant(valid))):
            block = make_block(halting, unit, stride=2, statistics=statistics)
            with tf.GradientTape() as tape:
                output, halts = block(inputs, training=True, valid=chosen)
                total = tf.reduce_sum(output[:, :3, :3] ** 2) + sum(block.losses)
            gradients = tape.gradient(total, [v.value for v in block.trainable_variables])
            results.append(
                (
                    output[:, :3, :3],
                    halts["flops"],
                    halts["num_units"][:, :3, :3],
                    [weight.numpy() for weight in block.weights],
                    [gradient for gradient in gradients if gradient is not None],
                )
            )
        assert_same(*results, 1e-8)


def test_evaluated_statistics_differ_and_equal_full_where_nothing_halts():
    inputs = images([2, 5, 6])

    def moving(statistics, bias):
        block = make_block("sact", statistics=statistics, halting_bias=bias)
        for score in block.halting_scores:
            score.local_conv.kernel.assign(score.local_conv.kernel * 0.1)
        block(inputs, training=True)
        return [weight.numpy() for weight in block.units[-1].preact.weights]

    assert_same(moving("full", -10.0), moving("evaluated", -10.0), 1e-10)
    assert not np.allclose(moving("full", 0.0)[2], moving("evaluated", 0.0)[2], atol=1e-4)


@keras.saving.register_keras_serializable(package="tests")
class ShiftUnit(keras.layers.Layer):
    """A user's own unit: the interface of `ResidualUnit`'s docstring and nothing of the package."""

    stride = 1
    outer_stride = 1

    def __init__(self, width=1.0, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], input_shape[-1]),
            initializer="glorot_normal",
            name="kernel",
        )

    def call(self, inputs, training=None, valid=None):
        return inputs + self.residual(inputs, training=training, valid=valid)

    def residual(self, inputs, training=None, valid=None, outer=None, inner=None):
        if valid is not None:
            inputs = tf.where(valid[..., None], inputs, tf.zeros([], inputs.dtype))
        kernel = tf.convert_to_tensor(self.kernel)
        return self.width * tf.nn.conv2d(tf.tanh(inputs), kernel, 1, "SAME")

    def flops(self, outer, inner):
        channels = self.kernel.shape[-1]
        return conv2d_flops(inner, 3, channels, channels)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@pytest.mark.parametrize("halting", [None, "act", "sact"])
def test_a_user_defined_unit(halting):
    block = AdaptiveBlock(
        [ShiftUnit(0.5, dtype="float64") for _ in range(3)],
        halting=halting,
        halting_bias=-1.0,
        dtype="float64",
    )
    block.build((None, None, None, CHANNELS))
    randomize(block, seed=5)
    check_against_reference(block, images([2, 5, 6]))
    copy = AdaptiveBlock.from_config(block.get_config())
    if not copy.built:
        copy.build((None, None, None, CHANNELS))
    copy.set_weights(block.get_weights())
    assert_same(copy(images([1, 4, 4])), block(images([1, 4, 4])), 1e-12)
    assert copy.units[0].width == 0.5


class TestErrors:
    @pytest.mark.parametrize(
        "arguments, words",
        [
            ({"units": []}, ["units"]),
            ({"entry_units": 0}, ["entry_units", "1", "0"]),
            ({"entry_units": 2}, ["entry_units", "number of units (1)", "2"]),
            ({"entry_units": True}, ["entry_units", "True"]),
            ({"halting": "pact"}, ["halting", "'act'", "'sact'", "'pact'"]),
            ({"tile_size": 0}, ["tile_size", "positive int", "0"]),
            ({"tile_size": 2.0}, ["tile_size", "positive int", "2.0"]),
            ({"tile_size": True}, ["tile_size", "positive int", "True"]),
            ({"tile_size": 2, "halting": "act"}, ["tile_size=2", "'sact'", "'act'"]),
            ({"tile_size": 2, "halting": None}, ["tile_size=2", "'sact'", "None"]),
            ({"statistics": "some"}, ["statistics", "'full'", "'evaluated'", "'some'"]),
            ({"execution": "sparse"}, ["execution", "'masked'", "'sparse'"]),
            ({"halting_epsilon": 0.0}, ["halting_epsilon", "(0, 1)", "0.0"]),
            ({"halting_epsilon": 1.0}, ["halting_epsilon", "(0, 1)", "1.0"]),
            ({"ponder_weight": -0.1}, ["ponder_weight", ">= 0", "-0.1"]),
            ({"ponder_weight": float("nan")}, ["ponder_weight", ">= 0", "nan"]),
            ({"ponder_weight": float("inf")}, ["ponder_weight", ">= 0", "inf"]),
        ],
    )
    def test_arguments(self, arguments, words):
        arguments = {"units": [BasicUnit(4)], "halting": "sact", **arguments}
        with pytest.raises(ValueError) as error:
            AdaptiveBlock(**arguments)
        for word in words:
            assert word in str(error.value)

    @pytest.mark.parametrize("second", [BasicUnit(4, stride=2), BasicUnit(8)])
    def test_only_entry_units_may_change_the_shape(self, second):
        with pytest.raises(ValueError, match="unit 2"):
            AdaptiveBlock([BasicUnit(4), second]).build((None, 8, 8, 4))
        AdaptiveBlock([BasicUnit(4), second], entry_units=2).build((None, 8, 8, 4))
