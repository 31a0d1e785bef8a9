"""Tiled and auto execution: only what is active is computed, with stock TensorFlow operations.

The numbers are those of masked execution for the same tile size, up to rounding.
"""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from sact_tf.layers.execution.auto import run_auto_positions
from sact_tf.layers.execution.masked import run_masked
from sact_tf.layers.execution.tiled_images import run_tiled_images
from sact_tf.layers.execution.tiled_positions import run_tiled_positions


def run_tiled(block, state, mean, valid, training):
    """Runs the units after the first, and the halting scores, of an `AdaptiveBlock`.

    Args, Returns: as `run_masked`.

    Raises:
        NotImplementedError: inside a function that XLA compiles.
        ValueError: training with statistics of the full map, of which only a part is computed.
    """
    return _run(block, state, mean, valid, training, run_tiled_positions)


def run_auto(block, state, mean, valid, training):
    """As `run_tiled`, but units at which many positions are active run densely.

    Many is more than the block's `dense_share`. In training all units are tiled: moving statistics
    cannot be updated inside a branch under a distribution strategy, and Grappler turns sums of
    gradients into temporary variables that outlive a branch which is not taken.
    """
    run = run_tiled_positions if training else run_auto_positions
    return _run(block, state, mean, valid, training, run)


def _run(block, state, mean, valid, training, run_positions):
    if block.halting is None:
        return run_masked(block, state, mean, valid, training)
    check_dynamic_shapes(block, training)
    run = run_tiled_images if block.halting == "act" else run_positions
    return run(block, state, mean, valid, training)


def check_dynamic_shapes(block, training):
    """Raises where the number of active rows cannot be dynamic, or statistics not be had."""
    if control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        raise NotImplementedError(
            f"execution={block.execution!r} has shapes that depend on the image, which XLA "
            "(jit_compile=True, TPU) cannot compile: use execution='masked' there "
            "(sact_tf.set_execution(model, 'masked'))"
        )
    if training and block.statistics == "full":
        raise ValueError(
            f"execution={block.execution!r} does not compute the full map, whose batch statistics "
            "statistics='full' asks for in training: use statistics='evaluated' (or None)"
        )
    reaches = {getattr(unit, "reach", None) for unit in block.units}
    if block.halting == "sact" and (len(reaches) > 1 or reaches == {None}):
        raise TypeError(
            f"execution={block.execution!r} needs units of one `reach` with `residual_rows` (see "
            f"sact_tf.layers.ResidualUnit), received {[type(u).__name__ for u in block.units]}"
        )
