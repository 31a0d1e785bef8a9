"""The halting algebra of adaptive computation time, one step per residual unit.

ACT and SACT share it: the state's tensors have shape [B, 1, 1] for ACT (one decision per image)
and [B, H, W] for SACT (one per position). `active` marks what still computes.

Reference: Figurnov et al., arXiv:1612.02297, equations (4)-(11), algorithms 1 and 2.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.conversion import zeros_like
from sact_tf.ops.precision import sum_dtype


class HaltingState(NamedTuple):
    """What the halting algebra knows between two units; all tensors have one shape.

    Attributes:
        active: bool. Enters the next unit.
        cumulative: float. Sum c of the halting scores so far.
        remainder: float. Remainder R = 1 - c before the unit at which the position halts.
        ponder_cost: float. N + R once halted, the number of finished units before.
        num_units: int32. Number N of units evaluated so far.
    """

    active: tf.Tensor
    cumulative: tf.Tensor
    remainder: tf.Tensor
    ponder_cost: tf.Tensor
    num_units: tf.Tensor


def initial_state(
    shape: tf.Tensor | Sequence[int],
    dtype: tf.DType = tf.float32,
    valid: tf.Tensor | None = None,
) -> HaltingState:
    """The state before the first unit.

    Args:
        shape: shape of the score maps, [B, 1, 1] or [B, H, W].
        dtype: dtype of the computation around; see `sum_dtype`.
        valid: optional bool tensor of that shape. What is not valid never becomes active.
    """
    dtype = sum_dtype(dtype)
    zeros = tf.zeros(shape, dtype)
    active = tf.ones(shape, tf.bool) if valid is None else valid
    return HaltingState(active, zeros, zeros + 1, zeros, tf.zeros(shape, tf.int32))


def halting_step(
    state: HaltingState,
    score: tf.Tensor,
    epsilon: float,
    is_last: bool,
    admit: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tuple[HaltingState, tf.Tensor]:
    """Accounts for one evaluated unit.

    A position halts as soon as its cumulative score reaches 1 - epsilon (eq. 7), and always at the
    last unit (eq. 5). The weight of the unit is its score if the position goes on, the remainder
    if it halts here, 0 if it had halted before (eq. 9). The ponder cost is N + R (eq. 11); neither
    N nor the masks have a gradient, so d(ponder cost)/d(score) is -1 before unit N and 0 from
    there on (eq. 12).

    Args:
        state: `HaltingState` on entering the unit.
        score: halting scores h in [0, 1], same shape as the state. Ignored for the last unit.
        epsilon: float in (0, 1).
        is_last: Python bool; whether this is the block's last unit.
        admit: optional function of bools, what would go on, and of the remainders after this unit:
            what may. Everything else halts here, as if its score had reached the remainder.

    Returns:
        `(state, weight)`: the state on leaving the unit, and the unit's share p of the halting
        distribution, of the state's shape and dtype.
    """
    dtype = state.remainder.dtype
    score = tf.ones_like(state.remainder) if is_last else tf.cast(score, dtype)
    cumulative = state.cumulative + score
    reached = tf.stop_gradient(cumulative) >= 1 - epsilon
    if is_last:
        reached = tf.ones_like(reached)
    continues = state.active & ~reached
    if admit is not None:
        continues = admit(continues, state.remainder - score)
    halts = state.active & ~continues
    zeros = zeros_like(score)
    weight = tf.where(halts, state.remainder, tf.where(continues, score, zeros))
    evaluated = tf.cast(state.active, dtype)
    ponder_cost = state.ponder_cost + evaluated + tf.where(halts, state.remainder, zeros)
    new_state = HaltingState(
        active=continues,
        cumulative=cumulative,
        remainder=state.remainder - tf.where(continues, score, zeros),
        ponder_cost=ponder_cost,
        num_units=state.num_units + tf.cast(state.active, tf.int32),
    )
    return new_state, weight


def mean_ponder_cost(ponder_cost: tf.Tensor, valid: tf.Tensor | None = None) -> tf.Tensor:
    """Ponder cost averaged over the positions of each image, then over the batch.

    Algorithm 2, line 37; with a `valid` map only valid positions of an image count, so that
    padding changes nothing.

    Args:
        ponder_cost: [B, H, W] or [B, 1, 1].
        valid: optional bool of the same shape.

    Returns:
        Scalar of the ponder cost's dtype.
    """
    if valid is None or ponder_cost.shape[1:] == (1, 1):
        return tf.reduce_mean(ponder_cost)
    count = tf.reduce_sum(tf.cast(valid, ponder_cost.dtype), axis=[1, 2])
    total = tf.reduce_sum(tf.where(valid, ponder_cost, tf.zeros_like(ponder_cost)), axis=[1, 2])
    return tf.reduce_mean(tf.math.divide_no_nan(total, count))
