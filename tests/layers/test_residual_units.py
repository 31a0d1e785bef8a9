"""Residual units against the same network written with plain Keras layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import BasicUnit, BottleneckUnit, bottleneck_unit, tuning
from sact_tf.ops.active_rows import find_active_rows
from sact_tf.ops.positions import mean_over, subsample, sum_over, zero_outside
from tests.harness import padded_batch, randomize

EPSILON = 1e-3
OPTIONS = {"batch_norm": {"epsilon": EPSILON, "momentum": 0.9}, "dtype": "float64"}


def keras_norm(ours, rank=4):
    layer = keras.layers.BatchNormalization(epsilon=EPSILON, momentum=0.9, dtype="float64")
    layer.build((None,) * (rank - 1) + (ours.gamma.shape[0],))
    for new, old in zip(layer.weights, ours.weights, strict=True):
        new.assign(old)
    return layer


def keras_conv(ours, stride, padding):
    kernel = ours.kernel.numpy()
    layer = keras.layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[:2],
        strides=stride,
        padding=padding,
        use_bias=ours.bias is not None,
        dtype="float64",
    )
    layer.build((None, None, None, kernel.shape[2]))
    layer.set_weights([weight.numpy() for weight in ours.weights])
    return layer


def plain_bottleneck(unit, inputs, training):
    """x + f(x) with explicit symmetric padding before the strided 3x3."""
    preact = keras.layers.ReLU(dtype="float64")(keras_norm(unit.preact)(inputs, training=training))
    if unit.shortcut is None:
        shortcut = inputs[:, :: unit.stride, :: unit.stride]
    else:
        shortcut = keras_conv(unit.shortcut, 1, "valid")(preact)
        shortcut = shortcut[:, :: unit.stride, :: unit.stride]
    maps = keras_norm(unit.bn1)(keras_conv(unit.conv1, 1, "valid")(preact), training=training)
    maps = keras.layers.ZeroPadding2D(1, dtype="float64")(tf.nn.relu(maps))
    maps = keras_conv(unit.conv2, unit.stride, "valid")(maps)
    maps = tf.nn.relu(keras_norm(unit.bn2)(maps, training=training))
    return shortcut, keras_conv(unit.conv3, 1, "valid")(maps)


def plain_basic(unit, inputs, training):
    def leaky(maps, slope):
        return tf.where(maps > 0, maps, maps * slope)

    slope = unit.negative_slope
    preact = leaky(keras_norm(unit.preact)(inputs, training=training), slope)
    shortcut = preact if unit.preactivated_shortcut else inputs
    if unit.stride > 1:
        pool = keras.layers.AveragePooling2D(unit.stride, padding="same", dtype="float64")
        shortcut = pool(shortcut)
    border = (unit.filters - inputs.shape[-1]) // 2
    shortcut = tf.pad(shortcut, [[0, 0], [0, 0], [0, 0], [border, border]])
    maps = keras_conv(unit.conv1, unit.stride, "same")(preact)
    maps = leaky(keras_norm(unit.bn1)(maps, training=training), slope**2)
    return shortcut, keras_conv(unit.conv2, 1, "same")(maps)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1), (2, 3)])
@pytest.mark.parametrize(
    "make, plain",
    [
        (lambda: BottleneckUnit(2, **OPTIONS), plain_bottleneck),
        (lambda: BottleneckUnit(2, stride=2, **OPTIONS), plain_bottleneck),
        (lambda: BottleneckUnit(3, stride=2, **OPTIONS), plain_bottleneck),
        (lambda: BottleneckUnit(3, **OPTIONS), plain_bottleneck),
        (lambda: BasicUnit(8, negative_slope=0.1, **OPTIONS), plain_basic),
        (lambda: BasicUnit(12, stride=2, negative_slope=0.1, **OPTIONS), plain_basic),
        (lambda: BasicUnit(8, stride=2, **OPTIONS), plain_basic),
        (
            lambda: BasicUnit(
                10, stride=2, preactivated_shortcut=True, negative_slope=0.2, **OPTIONS
            ),
            plain_basic,
        ),
    ],
    ids=[
        "bottleneck identity",
        "bottleneck strided identity",
        "bottleneck strided convolution",
        "bottleneck convolution",
        "basic identity",
        "basic strided and padded",
        "basic strided",
        "basic preactivated",
    ],
)
def test_equals_plain_keras_layers(make, plain, size, training):
    unit = make()
    unit.build((None, None, None, 8))
    randomize(unit)
    inputs = tf.constant(np.random.default_rng(5).normal(size=[2, *size, 8]))
    shortcut, residual = plain(unit, inputs, training)
    outputs = unit(inputs, training=training)
    assert outputs.shape == unit.compute_output_shape(inputs.shape)
    tolerance = 1e-6 if getattr(unit, "negative_slope", 0) else 1e-10  # alpha is a float32
    np.testing.assert_allclose(outputs, shortcut + residual, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("unit_class, channels", [(BottleneckUnit, 8), (BasicUnit, 2)])
def test_residual_is_the_unit_without_its_shortcut(unit_class, channels, training):
    unit = unit_class(2, negative_slope=0.1, **OPTIONS)
    unit.build((None, None, None, channels))
    randomize(unit)
    _, batch, valid = padded_batch([(5, 7), (3, 4)], 6, 7, channels, fill=0.5, dtype="float64")
    for chosen in (None, tf.constant(valid)):
        whole = unit(batch, training=training, valid=chosen)
        alone = unit.residual(batch, training=training, valid=chosen)
        difference = (whole - batch - alone).numpy()
        np.testing.assert_allclose(difference[valid], 0, atol=1e-12)


@pytest.mark.parametrize("unit_class, channels", [(BottleneckUnit, 8), (BasicUnit, 2)])
def test_statistics_at_evaluated_positions(unit_class, channels):
    """`outer` feeds the statistics up to the first convolution, `inner` those after it."""
    unit = unit_class(2, **OPTIONS)
    unit.build((None, None, None, channels))
    randomize(unit)
    rng = np.random.default_rng(6)
    inputs = tf.constant(rng.normal(size=[2, 5, 6, channels]))
    outer, inner = rng.random([2, 5, 6]) < 0.7, rng.random([2, 5, 6]) < 0.4
    before = {layer.name: layer.get_weights() for layer in (unit.preact, unit.bn1)}
    expected_preact = keras_norm(unit.preact, rank=2)
    expected_preact(tf.boolean_mask(inputs, outer), training=True)
    unit.residual(inputs, training=True, outer=tf.constant(outer), inner=tf.constant(inner))
    np.testing.assert_allclose(unit.preact.moving_mean, expected_preact.moving_mean, rtol=1e-9)
    np.testing.assert_allclose(
        unit.preact.moving_variance, expected_preact.moving_variance, rtol=1e-9
    )
    for layer in (unit.preact, unit.bn1):
        assert not np.allclose(layer.moving_mean, before[layer.name][2])
    if unit_class is BottleneckUnit:
        moved = unit.bn2.moving_mean.numpy()
        unit.residual(inputs, training=True, outer=tf.constant(outer), inner=tf.zeros_like(inner))
        np.testing.assert_array_equal(unit.bn2.moving_mean, moved)


@pytest.mark.parametrize("unit_class, filters", [(BottleneckUnit, 3), (BasicUnit, 10)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_changes_nothing(unit_class, filters, stride):
    unit = unit_class(filters, stride=stride, negative_slope=0.1, **OPTIONS)
    unit.build((None, None, None, 8))
    randomize(unit)
    sizes = [(7, 5), (4, 8), (1, 1), (8, 8), (3, 6)]
    images, batch, valid = padded_batch(sizes, 8, 8, 8, fill=np.nan, dtype="float64")
    together = unit(batch, valid=tf.constant(valid)).numpy()
    for index, image in enumerate(images):
        alone = unit(image[None]).numpy()[0]
        rows, columns, _ = alone.shape
        np.testing.assert_allclose(together[index, :rows, :columns], alone, atol=1e-6)


def test_flops_of_a_bottleneck():
    unit = BottleneckUnit(3, stride=2)
    unit.build((None, None, None, 8))
    outer, inner = tf.constant([64, 49], tf.int64), tf.constant([16, 16], tf.int64)
    expected = [
        2 * (o * 8 * 3 + i * 9 * 3 * 3 + i * 3 * 12 + i * 8 * 12) for o, i in [(64, 16), (49, 16)]
    ]
    flops = unit.flops(outer, inner)
    assert flops.dtype == tf.int64
    np.testing.assert_array_equal(flops, expected)
    assert unit.outer_stride == 1


def test_flops_of_a_basic_unit():
    unit = BasicUnit(10, stride=2)
    unit.build((None, None, None, 8))
    assert int(unit.flops(20, 16)) == 2 * 9 * (20 * 8 * 10 + 16 * 10 * 10)
    assert unit.outer_stride == 2


@pytest.mark.parametrize("unit_class, outer", [(BottleneckUnit, 9 * 7), (BasicUnit, 5 * 4)])
def test_flops_of_a_whole_map(unit_class, outer):
    strided, plain = unit_class(8, stride=2), unit_class(8)
    for unit in (strided, plain):
        unit.build((None, None, None, 8))
    sides = tf.constant([9, 7])
    for height, width in ((9, 7), tf.unstack(sides)):
        assert int(strided.flops_of(height, width)) == int(strided.flops(outer, 5 * 4))
        assert int(plain.flops_of(height, width)) == int(plain.flops(9 * 7, 9 * 7))


@pytest.mark.parametrize("unit_class", [BottleneckUnit, BasicUnit])
@pytest.mark.parametrize(
    "arguments, name", [({"filters": 0}, "filters"), ({"stride": 3}, "stride")]
)
def test_bad_arguments(unit_class, arguments, name):
    with pytest.raises(ValueError, match=f"{name}.*received.*{name}={arguments[name]}"):
        unit_class(**{"filters": 4, **arguments})


@pytest.mark.parametrize("channels", [6, 3])
def test_basic_unit_names_the_channels_it_cannot_pad(channels):
    with pytest.raises(ValueError, match=f"{channels} input channels and filters=4"):
        BasicUnit(4).build((None, None, None, channels))


def some_padded_batch(channels):
    sizes = [(9, 12), (5, 6), (1, 1)]
    _, batch, valid = padded_batch(sizes, 9, 12, channels, fill=0.0, dtype="float64")
    return tf.constant(batch), tf.constant(valid)


@pytest.mark.parametrize("product_filters", [0, 512], ids=["product", "convolution"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    "unit_class, channels, stride",
    [(BottleneckUnit, 6, 2), (BottleneckUnit, 6, 1), (BottleneckUnit, 12, 2), (BasicUnit, 3, 2)],
)
def test_output_and_mean(unit_class, channels, stride, padded, product_filters, monkeypatch):
    monkeypatch.setattr(tuning, "PRODUCT_FILTERS", product_filters)
    unit = unit_class(3, stride=stride, **OPTIONS)
    unit.build((None, None, None, channels))
    randomize(unit)
    batch, valid = some_padded_batch(channels)
    valid = valid if padded else None
    output, mean = unit.output_and_mean(batch, valid=valid)
    np.testing.assert_allclose(output, unit(batch, training=False, valid=valid), atol=1e-12)
    np.testing.assert_allclose(mean, mean_over(output, subsample(valid, stride)), atol=1e-12)


@pytest.mark.parametrize("product_filters", [0, 512], ids=["product", "convolution"])
@pytest.mark.parametrize("unit_class, channels", [(BottleneckUnit, 12), (BasicUnit, 3)])
def test_advance(unit_class, channels, product_filters, monkeypatch):
    monkeypatch.setattr(tuning, "PRODUCT_FILTERS", product_filters)
    unit = unit_class(3, **OPTIONS)
    unit.build((None, None, None, channels))
    randomize(unit)
    batch, valid = some_padded_batch(channels)
    active = valid & (tf.random.stateless_uniform(valid.shape, [0, 1]) < 0.4)
    active &= tf.constant([True, True, False])[:, tf.newaxis, tf.newaxis]
    for where in (active, tf.ones_like(active)):
        output, total = unit.advance(batch, where, valid=valid)
        expected = zero_outside(unit.residual(batch, training=False, valid=valid), where)
        np.testing.assert_allclose(output, batch + expected, atol=1e-12)
        np.testing.assert_allclose(total, sum_over(expected), atol=1e-11)
    assert not np.any(unit.advance(batch, active, valid=valid)[1][2])


def test_few_rows_are_gathered_and_most_of_a_narrow_map_is_convolved(monkeypatch):
    calls = []

    def watch(name):
        convolve = getattr(bottleneck_unit, name)
        monkeypatch.setattr(
            bottleneck_unit, name, lambda *args: calls.append(name) or convolve(*args)
        )

    watch("convolve_rows")
    watch("convolve_rows_on_map")
    unit = BottleneckUnit(64, dtype="float64")
    unit.build((None, None, None, 256))
    randomize(unit)
    maps = tf.random.stateless_normal([1, 4, 5, 256], [0, 1], dtype=tf.float64)
    expected = tf.reshape(unit.residual(maps, training=False), [-1, 256])
    for count, path in ((9, "convolve_rows"), (11, "convolve_rows_on_map")):
        rows = find_active_rows(tf.reshape(tf.range(20) < count, [1, 4, 5]))
        flat = tf.reshape(maps, [-1, 256])
        pieces = [tf.gather(flat, where) for where in (rows.active_positions, rows.ring_positions)]
        residual, total = unit.residual_rows(*pieces, rows, 1, training=False)
        assert calls.pop() == path and not calls
        np.testing.assert_allclose(residual, expected[:count], atol=1e-12)
        np.testing.assert_allclose(total[0], tf.reduce_sum(expected[:count], axis=0), atol=1e-11)
