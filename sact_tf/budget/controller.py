"""Steers a network in training to a share of the plain network's FLOPs."""

import math
from typing import NamedTuple

import keras
import tensorflow as tf

from sact_tf.budget.halting_shift import halting_biases
from sact_tf.models.settings import set_ponder_weight

# tau stays within these whatever the budget: one that training cannot hold for the moment must not
# wind it up so far that it does not come back.
_LOWEST_TAU, _HIGHEST_TAU = 1e-5, 1.0
_RAMP = 6.0
_SMOOTHING = 0.3
_LARGEST_SHIFT = 0.1


class BudgetAction(NamedTuple):
    """What a step of the controller asks for; float32 scalar tensors.

    Attributes:
        ponder_weight: tau for the next step.
        halting_shift: to be added to the bias of every halting score.
    """

    ponder_weight: tf.Tensor
    halting_shift: tf.Tensor


class BudgetController(tf.Module):
    """Dual ascent on log tau, with a fast inner loop on the bias of the halting scores.

    "The least loss with mean FLOPs at the budget" is a constrained problem and tau its Lagrange
    multiplier. With e the share of FLOPs (smoothed over about three batches) minus the set point:

        log tau += dual_gain * e / horizon

    Dual ascent alone is integral control of something that answers late, so it overshoots (Stooke
    et al. 2020, arXiv:2007.03964, who add proportional and derivative terms). Here it overshoots
    for good: FLOPs do not move before the scores have grown several times, then fall at once, and
    of a position that halts in its first unit neither the ponder cost nor the loss has a gradient
    back. So the quick answer is not left to the gradient: the bias of all halting scores gets

        shift = bias_gain * e + damping * (e - e of the step before),  at most 0.1 either way

    (as auxiliary-loss-free balancing moves the biases of gates, Wang et al. 2024,
    arXiv:2408.15664), and tau, slower, takes over what training would otherwise undo. The set
    point slides from the first share seen to the budget in the first `6 * horizon` steps.

    Args:
        flops_ratio: the budget, a share of the plain network's FLOPs.
        ponder_weight: tau to start from, > 0.
        horizon: steps; how fast tau is adapted. About a twentieth of the training.
        dual_gain: an error of 0.1 held for `horizon` steps multiplies tau by exp(0.1 * dual_gain).
        bias_gain, damping: logits per unit of error, and of its change.

    Attributes:
        HORIZONS_PER_TRAINING: how many horizons a training should have.
        LEAST_START: where tau starts at least: dual ascent multiplies, so it cannot start at 0.

    Raises:
        ValueError: an argument is out of range.
    """

    HORIZONS_PER_TRAINING = 20
    LEAST_START = 1e-4

    def __init__(
        self,
        flops_ratio: float,
        ponder_weight: float = 0.005,
        horizon: float = 100,
        dual_gain: float = 2.5,
        bias_gain: float = 0.5,
        damping: float = 2.0,
    ):
        super().__init__(name="budget_controller")
        for name, value in (("flops_ratio", flops_ratio), ("ponder_weight", ponder_weight)):
            _check(name, value, 0 < value < math.inf, "a positive number")
        _check("horizon", horizon, 1 <= horizon < math.inf, "a number of steps >= 1")
        for name, value in (
            ("dual_gain", dual_gain),
            ("bias_gain", bias_gain),
            ("damping", damping),
        ):
            _check(name, value, 0 <= value < math.inf, "a number >= 0")
        self.flops_ratio = float(flops_ratio)
        self.horizon = float(horizon)
        self.dual_gain = float(dual_gain)
        self.bias_gain = float(bias_gain)
        self.damping = float(damping)
        self._log_tau = _state(math.log(ponder_weight), "log_tau")
        self._share = _state(0.0, "share")
        self._start = _state(0.0, "start")
        self._error = _state(0.0, "error")
        self._steps = _state(0.0, "steps")

    @property
    def ponder_weight(self) -> tf.Tensor:
        """tau as it stands, a scalar tensor."""
        return tf.exp(self._log_tau)

    @property
    def share(self) -> tf.Tensor:
        """The smoothed share of FLOPs, a scalar tensor."""
        return tf.convert_to_tensor(self._share)

    @property
    def set_point(self) -> tf.Tensor:
        """The share that it steers to at this step, a scalar tensor."""
        progress = tf.minimum(1.0, self._steps / (_RAMP * self.horizon))
        return self._start + progress * (self.flops_ratio - self._start)

    def update(self, share: float | tf.Tensor) -> BudgetAction:
        """One step.

        Args:
            share: FLOPs of the current batch over the plain network's, a scalar.

        Returns:
            A `BudgetAction`. Works inside `tf.function`.
        """
        share = tf.cast(share, tf.float32)
        first = tf.equal(self._steps, 0.0)
        smoothed = self._share + _SMOOTHING * (share - self._share)
        self._start.assign(tf.where(first, share, self._start))
        self._share.assign(tf.where(first, share, smoothed))
        self._steps.assign_add(1.0)
        error = self._share - self.set_point
        shift = self.bias_gain * error + self.damping * (error - self._error)
        self._error.assign(error)
        log_tau = self._log_tau + self.dual_gain / self.horizon * error
        self._log_tau.assign(
            tf.clip_by_value(log_tau, math.log(_LOWEST_TAU), math.log(_HIGHEST_TAU))
        )
        return BudgetAction(
            self.ponder_weight, tf.clip_by_value(shift, -_LARGEST_SHIFT, _LARGEST_SHIFT)
        )

    def apply(self, model: keras.Model, share: float | tf.Tensor) -> BudgetAction:
        """One step, carried out on a model.

        Args:
            model: the model in training; its tau and the biases of its halting scores change.
            share: as `update`.

        Returns:
            The `BudgetAction` that was carried out.
        """
        action = self.update(share)
        set_ponder_weight(model, action.ponder_weight)
        for bias in halting_biases(model):
            bias.assign_add(action.halting_shift[tf.newaxis])
        return action


def _state(value, name):
    return tf.Variable(
        value,
        trainable=False,
        dtype=tf.float32,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        name=name,
    )


def _check(name, value, is_allowed, allowed):
    if not is_allowed:
        raise ValueError(f"Expected {name} to be {allowed}, received {value!r}")
