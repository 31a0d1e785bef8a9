"""Outputs of what has halted, put back into maps."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers.execution.finished import Finished, put_into

CHUNKS = {
    "nothing": [[], []],
    "some": [[7, 1], [], [11]],
    "everything": [list(range(6, 12)), list(range(6))],
}


@pytest.mark.parametrize("in_function", [False, True])
@pytest.mark.parametrize("name", CHUNKS)
def test_outputs_and_gradients_are_those_of_a_scatter(name, in_function):
    rng = np.random.default_rng(0)
    maps = tf.constant(rng.normal(size=[2, 2, 3, 4]))
    positions = [tf.constant(chunk, tf.int32) for chunk in CHUNKS[name]]
    outputs = [tf.constant(rng.normal(size=[len(chunk), 4])) for chunk in CHUNKS[name]]
    factor = tf.constant(rng.normal(size=maps.shape))

    def scatter(maps, outputs):
        flat = tf.reshape(maps, [12, 4])
        for where, output in zip(positions, outputs, strict=True):
            flat = tf.tensor_scatter_nd_update(flat, where[:, tf.newaxis], output)
        return tf.reshape(flat, maps.shape)

    def put(maps, outputs):
        return put_into(maps, [Finished(*pair) for pair in zip(positions, outputs, strict=True)])

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch([maps, outputs])
            result = function(maps, outputs)
            total = tf.reduce_sum(factor * result**2)
        return result, tape.gradient(total, [maps, outputs])

    run_ours = tf.function(run) if in_function else run
    tf.nest.map_structure(np.testing.assert_array_equal, run_ours(put), run(scatter))
