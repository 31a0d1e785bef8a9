"""Masked execution: everything is computed, the mask decides what counts.

Static shapes, so XLA can compile it; exactly the authors' arithmetic, batch statistics included.
"""

import tensorflow as tf

from sact_tf.ops.tiles import dilate


def run_masked(block, state, mean, valid, training):
    """Runs the units after the first, and the halting scores, of an `AdaptiveBlock`.

    The output is the sum of states weighted by the halting distribution (arXiv:1612.02297, eq. 10).
    As the weights from unit l on sum up to the remainder R_l on entering it, that equals
    x_1 + sum over l >= 2 of R_l f_l(x_{l-1}), which needs one multiply-add per unit.

    Args:
        block: the `AdaptiveBlock`.
        state: output of the first unit, [B, H, W, C].
        mean: its mean over each image, [B, C], where it is known already; else None, as always for
            masked execution, which computes it as the authors do.
        valid: optional bool [B, H, W] at the resolution of `state`.
        training: whether batch normalization uses the statistics of this batch.

    Returns:
        `(output, halting, weights, flops)`: the block's output [B, H, W, C], the final
        `HaltingState`, the list of the units' shares of the halting distribution, and the int64
        [B] operations of all this (the first unit's own excluded).
    """
    del mean
    halting = block.initial_halting(state, valid)
    output, flops, weights = state, 0, []
    for index, unit in enumerate(block.units):
        active = halting.active
        evaluated = None
        if index > 0:
            outer = inner = None
            if block.statistics == "evaluated":
                outer, inner = block.evaluated_positions(active, state, valid)
                evaluated = inner
            residual = unit.residual(
                state, training=training, valid=valid, outer=outer, inner=inner
            )
            if block.freezes:
                residual *= tf.cast(active, residual.dtype)[..., tf.newaxis]
            state += residual
            if block.halting is None:
                output = state
            else:
                remainder = tf.where(active, halting.remainder, tf.zeros_like(halting.remainder))
                output += residual * tf.cast(remainder, output.dtype)[..., tf.newaxis]
        flops += block.unit_flops(index, active, state, valid)
        score = block.halting_score(index, state, training, valid, evaluated)
        halting, weight = block.halting_step(index, halting, score)
        weights.append(weight)
    return output, halting, weights, flops


def evaluated_maps(active, valid):
    """Positions at which the first convolution and the later ones are evaluated.

    Args:
        active: bool [B, H, W].
        valid: optional bool [B, H, W].

    Returns:
        `(outer, inner)`: the dilated active positions inside the image, and `active`.
    """
    outer = dilate(active)
    return (outer if valid is None else outer & valid), active
