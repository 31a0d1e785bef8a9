"""Blocks whose positions halt where a test wants them to."""

import numpy as np
import tensorflow as tf

from sact_tf.layers import AdaptiveBlock, BasicUnit, BottleneckUnit, HaltingScore
from sact_tf.ops.windows import read_tiles
from tests.harness import randomize


class ScriptedScore(HaltingScore):
    """Mixes a prescribed score with a little of the true one, whose gradient so stays in play."""

    def call(self, inputs, training=None, **kwargs):  # named, or Keras keeps it to itself
        return self.mix(super().call(inputs, training=training, **kwargs), self.num_units)

    def score_rows(self, active, ring, rows, *args):
        num_units = tf.gather(tf.reshape(self.num_units, [-1]), rows.active_positions)
        return self.mix(super().score_rows(active, ring, rows, *args), num_units)

    def score_windows(self, patches, windows, grid, *args):
        num_units = read_tiles(tf.constant(self.num_units), windows, grid)
        return self.mix(super().score_windows(patches, windows, grid, *args), num_units)

    def mix(self, true_score, num_units):
        script = tf.where(num_units <= self.number, 1.0, 0.1)
        return tf.cast(script, true_score.dtype) * (1 - 0.005 * true_score)


BOTH = "both"


def taking(window):
    """Costs with which a block takes windows of a size, rows (0), or the cheaper ones (`BOTH`).

    Of these windows are the cheaper ones up to half of the tiles. "auto" starts densely where more
    than nine tenths are active. None is None.
    """
    if window is None:
        return None
    if window == BOTH:
        return {"rows": (0.5, 0.0), "windows": (0.0, 1.0), "window": 3}
    line = (0.0, 1 / 0.9)
    return {"windows": line, "window": window} if window else {"rows": line}


def make_block(unit="bottleneck", num_units=None, length=4, dtype="float64", **options):
    """A random block of 12 channels; `num_units` [B, H, W] says how long each position runs."""
    batch_norm = {"momentum": 0.5, "epsilon": 1e-3}
    shared = {"negative_slope": 0.1 if unit == "basic" else 0.0, "batch_norm": batch_norm}
    options = {"halting": "sact", "halting_bias": -0.5, "ponder_weight": 0.1, **options}
    make, filters = {"bottleneck": (BottleneckUnit, 3), "basic": (BasicUnit, 12)}[unit]
    block = AdaptiveBlock(
        [make(filters, dtype=dtype, name=f"unit_{n}", **shared) for n in range(length)],
        halting_negative_slope=0.1 if unit == "basic" else None,
        batch_norm=batch_norm,
        dtype=dtype,
        **options,
    )
    if num_units is not None:
        for index, score in enumerate(block.halting_scores):
            scripted = ScriptedScore.from_config(score.get_config())
            scripted.num_units, scripted.number = np.asarray(num_units, np.int32), index + 1
            block.halting_scores[index] = scripted
    block.build((None, None, None, 12))
    return randomize(block)


def run_block(block, inputs, training=False, valid=None):
    """Outputs, gradients of everything and the weights after one pass; the weights are put back.

    Returns:
        Dict of lists of arrays.
    """
    start = [weight.numpy() for weight in block.weights]
    inputs = tf.convert_to_tensor(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        features, halting = block(inputs, training=training, valid=valid)
        factor = np.random.default_rng(9).normal(size=features.shape)
        if valid is not None:  # what stands in the padding is left open
            factor *= np.asarray(valid)[..., np.newaxis]
        ponder = tf.reduce_sum(halting["ponder_cost"] * (1 + factor[:, :1, :1, 0]))
        loss = tf.reduce_sum(features * factor) + tf.cast(ponder, features.dtype)
    sources = [inputs, *(variable.value for variable in block.trainable_variables)]
    gradients = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    result = {
        "features": [features],
        "exact": [halting["num_units"], halting["flops"]],
        "halting": [halting["ponder_cost"], halting["halting_distribution"]],
        "gradients": gradients,
        "weights": block.get_weights(),
    }
    for weight, value in zip(block.weights, start, strict=True):
        weight.assign(value)
    return {name: [np.asarray(tf.convert_to_tensor(t)) for t in r] for name, r in result.items()}


def assert_same_run(received, expected, tolerance=1e-10):
    for name, arrays in expected.items():
        largest = max([np.max(np.abs(array)) for array in arrays if array.size] + [1e-30])
        for number, (ours, theirs) in enumerate(zip(received[name], arrays, strict=True)):
            error = np.max(np.abs(ours - theirs)) if ours.size else 0.0
            limit = 0 if name == "exact" else tolerance * largest
            assert error <= limit, f"{name}[{number}]: {error} > {limit}"
