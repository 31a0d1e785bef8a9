"""Batch normalization against Keras' own and against sums over a boolean mask."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import BatchNormalization

OPTIONS = {"momentum": 0.8, "epsilon": 1e-3}
SHAPES = {"map": (3, 4, 5, 6), "rows": (7, 6)}


def pair(shape, **kwargs):
    """Ours and Keras' layer with the same random weights."""
    rng = np.random.default_rng(0)
    ours = BatchNormalization(**OPTIONS, **kwargs)
    for name in ("fused", "follows_convolution"):
        kwargs.pop(name, None)
    theirs = keras.layers.BatchNormalization(**OPTIONS, **kwargs)
    for layer in (ours, theirs):
        layer.build((None, *shape[1:]))
    for first, second in zip(ours.weights, theirs.weights, strict=True):
        assert first.name == second.name
        value = rng.uniform(0.5, 1.5, first.shape)
        first.assign(value)
        second.assign(value)
    return ours, theirs


def values(shape, dtype="float32", seed=1):
    return tf.cast(np.random.default_rng(seed).normal(1.0, 2.0, shape), dtype)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_keras(shape, training, dtype):
    ours, theirs = pair(shape, dtype=dtype)
    inputs = values(shape, dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = ours(inputs, training=training)
        expected = theirs(inputs, training=training)
        total, expected_total = tf.reduce_sum(outputs**3), tf.reduce_sum(expected**3)
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    assert outputs.dtype == dtype
    np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)
    for first, second in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(first, second, rtol=tolerance, atol=tolerance)
    for first, second in zip(
        tape.gradient(total, [inputs, *(v.value for v in ours.trainable_variables)]),
        tape.gradient(expected_total, [inputs, *(v.value for v in theirs.trainable_variables)]),
        strict=True,
    ):
        scale = np.max(np.abs(second))
        np.testing.assert_allclose(first, second, rtol=0, atol=5 * tolerance * scale)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (0, 4, 5, 6), (2, 1, 1, 6)])
def test_in_inference_each_place_has_its_kernel(shape):
    """One that merges into the convolution before it, or one that takes the activation in."""
    results = []
    for after, kernel in ((True, "FusedBatchNormV3"), (False, "DepthwiseConv2dNative")):
        layer, _ = pair(shape, follows_convolution=after)

        @tf.function
        def compiled(inputs, layer=layer):
            return tf.nn.leaky_relu(layer(inputs, training=False), 0.1)

        graph = compiled.get_concrete_function(values(shape)).graph
        kernels = {"FusedBatchNormV3", "DepthwiseConv2dNative"}
        assert kernels & {operation.type for operation in graph.get_operations()} == {kernel}
        results.append(compiled(values(shape)))
    np.testing.assert_allclose(*results, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("with_positions", [False, True])
def test_moving_statistics_use_the_biased_variance(shape, with_positions):
    layer = BatchNormalization(**OPTIONS)
    layer.build(shape)
    inputs = values(shape)
    positions = tf.ones(shape[:-1], tf.bool) if with_positions else None
    layer(inputs, training=True, positions=positions)
    flat = inputs.numpy().reshape(-1, shape[-1]).astype("float64")
    np.testing.assert_allclose(layer.moving_mean, 0.2 * flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.8 + 0.2 * flat.var(axis=0), rtol=1e-5)


def test_a_single_position_has_no_variance():
    layer = BatchNormalization(**OPTIONS)
    outputs = layer(values([1, 1, 1, 4]), training=True)
    np.testing.assert_allclose(outputs, np.zeros([1, 1, 1, 4]), atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, np.full(4, 0.8), rtol=1e-6)


def test_frozen_layer_uses_and_keeps_its_moving_statistics():
    ours, theirs = pair(SHAPES["map"])
    ours.trainable = theirs.trainable = False
    before = [weight.numpy() for weight in ours.weights]
    inputs = values(SHAPES["map"])
    outputs = ours(inputs, training=True)
    np.testing.assert_allclose(outputs, theirs(inputs, training=True), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        ours(inputs, training=True, positions=tf.zeros([3, 4, 5], tf.bool)), outputs, atol=1e-5
    )
    for old, weight in zip(before, ours.weights, strict=True):
        np.testing.assert_array_equal(old, weight)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_statistics_of_chosen_positions(shape, dtype):
    layer, _ = pair(shape, dtype=dtype)
    gamma, beta, mean, variance = (weight.numpy() for weight in layer.weights)
    chosen = np.random.default_rng(2).random(shape[:-1]) < 0.5
    inputs = values(shape, dtype).numpy()
    inputs[~chosen] *= 1000
    outputs = layer(inputs, training=True, positions=tf.constant(chosen)).numpy()
    batch_mean, batch_variance = inputs[chosen].mean(axis=0), inputs[chosen].var(axis=0)
    expected = (inputs - batch_mean) / np.sqrt(batch_variance + 1e-3) * gamma + beta
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(outputs[chosen], expected[chosen], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        layer.moving_mean, 0.8 * mean + 0.2 * batch_mean, rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(
        layer.moving_variance, 0.8 * variance + 0.2 * batch_variance, rtol=tolerance
    )


def test_statistics_ignore_nan_elsewhere_also_in_gradients():
    layer, _ = pair(SHAPES["map"])
    chosen = np.random.default_rng(3).random([3, 4, 5]) < 0.5
    inputs = values(SHAPES["map"]).numpy()
    inputs[~chosen] = np.nan
    with tf.GradientTape() as tape:
        outputs = layer(inputs, training=True, positions=tf.constant(chosen))
        total = tf.reduce_sum(tf.where(chosen[..., None], outputs, 0.0) ** 2)
    for weight in layer.weights:
        assert np.isfinite(weight).all()
    assert np.isfinite(total)
    assert np.isfinite(tape.gradient(total, layer.beta.value)).all()


def test_inputs_gradient_of_chosen_positions_equals_the_rows_alone():
    """Gradients through the statistics, against the chosen positions as a batch of rows."""
    shape = SHAPES["map"]
    layer, _ = pair(shape, dtype="float64")
    _, reference = pair(SHAPES["rows"], dtype="float64")
    chosen = np.random.default_rng(4).random(shape[:-1]) < 0.5
    inputs = values(shape, "float64")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True, positions=tf.constant(chosen))
        total = tf.reduce_sum(tf.boolean_mask(outputs, chosen) ** 3)
    computed = tape.gradient(total, inputs).numpy()
    rows = tf.boolean_mask(inputs, chosen)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        total = tf.reduce_sum(reference(rows, training=True) ** 3)
    np.testing.assert_allclose(computed[chosen], tape.gradient(total, rows), rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(computed[~chosen], 0)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (0, 6)], ids=["no position", "no row"])
def test_a_batch_of_nothing_leaves_the_moving_statistics(shape):
    layer, _ = pair(SHAPES["map"] if len(shape) == 4 else SHAPES["rows"])
    before = [weight.numpy() for weight in layer.weights]
    inputs = values(shape)
    positions = tf.zeros(shape[:-1], tf.bool)
    outputs = layer(inputs, training=True, positions=positions)
    np.testing.assert_allclose(outputs, layer(inputs, training=False), rtol=1e-5, atol=1e-5)
    for old, weight in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, weight)


@pytest.mark.parametrize("with_positions", [False, True])
def test_bfloat16_computes_statistics_in_float32(with_positions):
    shape = (8, 32, 32, 2)
    layer = BatchNormalization(dtype="mixed_bfloat16", **OPTIONS)
    layer.build(shape)
    inputs = tf.cast(100 + values(shape), "bfloat16")
    positions = tf.ones(shape[:-1], tf.bool) if with_positions else None
    outputs = layer(inputs, training=True, positions=positions)
    assert outputs.dtype == tf.bfloat16
    flat = inputs.numpy().astype("float64").reshape(-1, 2)
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    np.testing.assert_allclose(layer.moving_mean, 0.2 * flat.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.8 + 0.2 * flat.var(axis=0), rtol=1e-3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("flags", [(True, True), (False, True), (True, False), (False, False)])
def test_scale_and_shift_are_the_layer(training, flags):
    scale, center = flags
    layer, twin = pair(SHAPES["map"], scale=scale, center=center)
    inputs = values(SHAPES["map"])
    slope, shift = layer.scale_and_shift(inputs, training=training)
    assert slope.shape == shift.shape == (6,)
    expected = twin(inputs, training=training)
    np.testing.assert_allclose(inputs * slope + shift, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, twin.moving_mean, rtol=1e-4, atol=1e-6)


def on_rows(layer, pieces):
    """Outputs of a training step on rows, and the gradients of pieces and weights."""
    with tf.GradientTape() as tape:
        tape.watch(pieces)
        outputs = tf.function(layer.on_rows)(pieces, tf.identity, training=True)
        total = tf.add_n([tf.reduce_sum(rows**3) for rows in outputs])
    sources = [*pieces, layer.gamma.value, layer.beta.value]
    return [rows.numpy() for rows in outputs], [g.numpy() for g in tape.gradient(total, sources)]


@pytest.mark.parametrize("numbers", [(40,), (40, 9), (40, 0, 3), (1, 5)], ids=str)
def test_fused_rows_are_the_plain_ones(numbers):
    """The first rows are counted; the others reach them through the statistics."""
    pieces = [values((number, 6), seed=number) for number in numbers]
    fused, _ = pair(SHAPES["rows"])
    plain, _ = pair(SHAPES["rows"], fused=False)
    outputs, gradients = on_rows(fused, pieces)
    expected, expected_gradients = on_rows(plain, pieces)
    for received, rows in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(received, rows, rtol=1e-4, atol=1e-4)
    for received, gradient in zip(gradients, expected_gradients, strict=True):
        scale = np.max(np.abs(gradient), initial=1)
        np.testing.assert_allclose(received, gradient, rtol=0, atol=2e-5 * scale)
    for weight, other in zip(fused.weights, plain.weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5)


def test_no_fused_rows_leave_the_moving_statistics():
    layer, _ = pair(SHAPES["rows"])
    before = [weight.numpy() for weight in layer.weights]
    pieces = [values((0, 6)), values((3, 6))]
    outputs, gradients = on_rows(layer, pieces)
    np.testing.assert_allclose(outputs[1], layer(pieces[1], training=False), rtol=1e-5, atol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    for old, weight in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, weight)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize(
    ("options", "fuses"),
    [
        ({}, True),
        ({"dtype": "mixed_bfloat16"}, True),
        ({"fused": False}, False),
        ({"synchronized": True}, False),
        ({"dtype": "float64"}, False),
        ({"scale": False}, False),
    ],
    ids=str,
)
def test_where_training_is_fused(shape, options, fuses):
    layer, _ = pair(shape, **options)
    inputs = tf.cast(values(shape), layer.compute_dtype)

    @tf.function
    def train():
        if len(shape) == 2:
            return layer.on_rows([inputs], tf.identity, training=True)
        return layer(inputs, training=True)

    assert ("FusedBatchNormV3" in _operations(train)) == fuses


def test_training_at_chosen_positions_is_not_fused():
    layer, _ = pair(SHAPES["map"])

    @tf.function
    def train(positions):
        return layer(values(SHAPES["map"]), training=True, positions=positions)

    assert "FusedBatchNormV3" not in _operations(train, tf.ones([3, 4, 5], tf.bool))


def _operations(function, *arguments):
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return {node.op for node in nodes}


def test_compiled_training_is_the_same():
    layer, twin = pair(SHAPES["map"])
    inputs = values(SHAPES["map"])
    outputs = tf.function(layer, jit_compile=True)(inputs, training=True)
    np.testing.assert_allclose(outputs, twin(inputs, training=True), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, twin.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("arguments", [{"axis": 1}, {"renorm": True}])
def test_rejects_what_it_cannot_do(arguments):
    (name,) = arguments
    with pytest.raises((ValueError, TypeError), match=name):
        BatchNormalization(**arguments)
