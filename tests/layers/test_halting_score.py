"""Halting scores against equations (6) and (14) written in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import HaltingScore, tuning
from sact_tf.ops.active_rows import find_active_rows
from tests.harness import padded_batch, randomize

EPSILON = 1e-3


def make(kind, slope=None, dtype="float64", **kwargs):
    layer = HaltingScore(
        kind,
        bias=-0.5,
        negative_slope=slope,
        batch_norm={"epsilon": EPSILON},
        dtype=dtype,
        **kwargs,
    )
    layer.build((None, None, None, 4))
    return randomize(layer)


def normalize(inputs, layer, slope, training):
    gamma, beta, mean, variance = layer.get_weights()
    if training:
        axes = tuple(range(inputs.ndim - 1))
        mean, variance = inputs.mean(axis=axes), inputs.var(axis=axes)
    outputs = (inputs - mean) / np.sqrt(variance + EPSILON) * gamma + beta
    return outputs if slope is None else np.where(outputs > 0, outputs, slope * outputs)


def expected_scores(layer, inputs, slope, training):
    pooled = normalize(inputs.mean(axis=(1, 2)), layer.global_bn, slope, training)
    logits = (pooled @ layer.global_conv.kernel.numpy()[0, 0])[:, None]
    if layer.kind == "act":
        logits = logits + layer.global_conv.bias.numpy()
    else:
        maps = normalize(inputs, layer.local_bn, slope, training)
        padded = np.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
        kernel = layer.local_conv.kernel.numpy()
        local = np.zeros(inputs.shape[:3])
        for dy in range(3):
            for dx in range(3):
                window = padded[:, dy : dy + inputs.shape[1], dx : dx + inputs.shape[2]]
                local += window @ kernel[dy, dx, :, 0]
        logits = logits + local + layer.local_conv.bias.numpy()
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("slope", [None, 0.1])
@pytest.mark.parametrize("size", [(5, 6), (1, 1)])
@pytest.mark.parametrize("kind", ["act", "sact"])
def test_equations(kind, size, slope, training):
    layer = make(kind, slope)
    inputs = np.random.default_rng(1).normal(size=[3, *size, 4])
    expected = expected_scores(layer, inputs, slope, training)
    scores = layer(inputs, training=training)
    assert scores.shape == ((3, 1, 1) if kind == "act" else (3, *size))
    assert scores.dtype == tf.float64
    np.testing.assert_allclose(scores, expected, atol=1e-6 if slope else 1e-12)


def test_which_weights_there_are():
    sact, act = make("sact"), make("act")
    assert sact.local_conv.kernel.shape == (3, 3, 4, 1)
    assert sact.local_conv.bias.shape == (1,)
    assert sact.global_conv.kernel.shape == (1, 1, 4, 1)
    assert sact.global_conv.bias is None
    assert act.global_conv.bias.shape == (1,)
    assert act.local_bn is None and act.local_conv is None


@pytest.mark.parametrize("kind", ["act", "sact"])
def test_initial_bias(kind):
    layer = HaltingScore(kind, bias=-3.0)
    layer.build((None, None, None, 4))
    scores = layer(np.zeros([1, 3, 3, 4], "float32"))
    np.testing.assert_allclose(scores, np.full(scores.shape, 1 / (1 + np.exp(3.0))), rtol=1e-5)


@pytest.mark.parametrize("slope", [None, 0.1])
@pytest.mark.parametrize("kind", ["act", "sact"])
def test_padding_changes_nothing(kind, slope):
    layer = make(kind, slope)
    sizes = [(5, 3), (2, 6), (1, 1), (5, 6)]
    images, batch, valid = padded_batch(sizes, 5, 6, 4, fill=np.nan, dtype="float64")
    together = layer(batch, valid=tf.constant(valid)).numpy()
    for index, image in enumerate(images):
        alone = layer(image[None]).numpy()[0]
        np.testing.assert_allclose(
            together[index, : alone.shape[0], : alone.shape[1]], alone, atol=1e-12
        )


@pytest.mark.parametrize("is_narrow", [True, False])
def test_narrow_and_wide_maps_are_scored_alike(is_narrow, monkeypatch):
    layer = make("sact", 0.1)
    monkeypatch.setattr(tuning, "MOST_CHANNELS_OF_DEPTHWISE_SCORE", 4 if is_narrow else 3)
    inputs = np.random.default_rng(5).normal(size=[2, 4, 5, 4])

    @tf.function
    def score(inputs):
        return layer(inputs, valid=tf.ones([2, 4, 5], tf.bool))

    graph = score.get_concrete_function(tf.constant(inputs)).graph
    kernels = {operation.type for operation in graph.get_operations()}
    assert ("DepthwiseConv2dNative" in kernels) == is_narrow
    expected = expected_scores(layer, inputs, 0.1, False)
    np.testing.assert_allclose(score(tf.constant(inputs)), expected, atol=1e-12)


def test_local_statistics_at_chosen_positions():
    layer = make("sact")
    inputs = np.random.default_rng(2).normal(size=[2, 4, 5, 4])
    chosen = np.random.default_rng(3).random([2, 4, 5]) < 0.5
    mean = layer.local_bn.moving_mean.numpy()
    momentum = layer.local_bn.momentum
    layer(inputs, training=True, positions=tf.constant(chosen))
    expected = momentum * mean + (1 - momentum) * inputs[chosen].mean(axis=0)
    np.testing.assert_allclose(layer.local_bn.moving_mean, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["act", "sact"])
def test_float32_under_bfloat16(kind):
    layer = HaltingScore(kind, bias=-0.5)
    layer.build((None, None, None, 4))
    randomize(layer)
    inputs = np.random.default_rng(4).normal(size=[2, 4, 5, 4])
    scores = layer(tf.cast(inputs, tf.bfloat16))
    assert scores.dtype == tf.float32
    rounded = tf.cast(tf.cast(inputs, tf.bfloat16), tf.float32)
    np.testing.assert_allclose(scores, layer(rounded), rtol=1e-6)


class Rows(keras.layers.Layer):
    """Scores of rows inside a layer of another precision, as a block reads them."""

    def __init__(self, score, **kwargs):
        super().__init__(**kwargs)
        self.score = score

    def call(self, inputs, rows):
        flat = tf.reshape(inputs, [-1, inputs.shape[-1]])
        pieces = [tf.gather(flat, where) for where in (rows.active_positions, rows.ring_positions)]
        mean = tf.reduce_mean(tf.cast(inputs, self.score.compute_dtype), axis=[1, 2])
        return self.score.score_rows(*pieces, rows, mean, training=False)


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
@pytest.mark.parametrize("slope", [None, 0.1])
def test_rows_score_as_on_the_map(slope, dtype):
    layer = make("sact", slope, dtype=dtype)
    inputs = np.random.default_rng(1).normal(size=[3, 5, 6, 4])
    inputs = tf.cast(inputs, tf.bfloat16 if "16" in dtype else tf.float64)
    active = np.random.default_rng(2).random([3, 5, 6]) < 0.3
    active[1] = False
    received = Rows(layer, dtype=dtype)(inputs, rows=find_active_rows(tf.constant(active)))
    expected = layer(inputs).numpy()[active]
    assert received.dtype == expected.dtype
    np.testing.assert_allclose(received, expected, rtol=1e-6 if "16" in dtype else 1e-12)


def test_flops():
    positions = tf.constant([7, 0], tf.int64)
    np.testing.assert_array_equal(make("sact").flops(positions), [2 * 4 * (9 * 7 + 1), 2 * 4])
    np.testing.assert_array_equal(make("act").flops(positions), [2 * 4, 2 * 4])


def test_unknown_kind():
    with pytest.raises(ValueError, match="kind.*'act', 'sact'.*received kind='spatial'"):
        HaltingScore("spatial")
