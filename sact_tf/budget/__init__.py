"""A compute budget, as a share of the plain network's FLOPs, in training and after it."""

from sact_tf.budget.calibration import Calibration, calibrate, find_shift
from sact_tf.budget.callbacks import FlopsBudget, PonderWeightSchedule
from sact_tf.budget.caps import CappedUnit, Caps, cap
from sact_tf.budget.controller import BudgetController
from sact_tf.budget.flops_share import FlopsShare, check_budget, reachable_range
from sact_tf.budget.halting_shift import shift_halting_logits

__all__ = [
    "BudgetController",
    "Calibration",
    "CappedUnit",
    "Caps",
    "FlopsBudget",
    "FlopsShare",
    "PonderWeightSchedule",
    "calibrate",
    "cap",
    "check_budget",
    "find_shift",
    "reachable_range",
    "shift_halting_logits",
]
