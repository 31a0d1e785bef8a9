"""A budget at inference: the shift of the halting logits that makes a trained network meet it."""

import dataclasses
import logging
from typing import Any, TypeVar

import keras
import numpy as np

from sact_tf.budget.flops_share import FlopsShare, check_budget
from sact_tf.budget.halting_shift import halting_biases, halting_logits_shifted
from sact_tf.budget.halting_shift import shift_halting_logits as apply_shift

_LOG = logging.getLogger(__name__)

# How far from a budget nobody has to be warned.
TOLERANCE = 0.02
# What the search aims at, so that other data of the same kind stays within the tolerance.
_AIM = 0.002
_LARGEST_STEP = 2.0**120  # nearly all of float32
_FINEST_STEP = 1e-3

ModelT = TypeVar("ModelT", bound=keras.Model)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a search found.

    Attributes:
        shift: number to add to every halting logit.
        flops_ratio: share of the plain network's FLOPs that this gives on the data searched.
        evaluations: passes over the data that the search took.
    """

    shift: float
    flops_ratio: float
    evaluations: int


def calibrate(model: ModelT, dataset: Any, flops_ratio: float) -> ModelT:
    """A copy of a trained model that spends a given share of the plain network's FLOPs.

    No training: one number is added to all halting logits (a positive one stops positions earlier).
    Where to spend stays the model's decision. The number is found by bisection, since the mean
    FLOPs fall as it grows, and added to the biases of the halting scores, so whatever is saved or
    exported from the copy carries it.

    SACT meets the budget on the data within 0.02. ACT's decisions are per image, so its mean FLOPs
    can jump: the copy is as near as the jumps allow, and a warning says how near that is.

    Args:
        model: an `AdaptiveModel` with halting.
        dataset: batches of preprocessed images in any form that `FlopsShare` takes; it is read
            about ten times. A few hundred images are enough.
        flops_ratio: the budget, such as 0.5.

    Returns:
        A new, uncompiled model; the given one is not changed.

    Raises:
        ValueError: the budget is out of reach (the message has the range), the data set is empty or
            the model has no halting scores.

    Example:
        >>> import numpy as np
        >>> import sact_tf
        >>> backbone = sact_tf.models.ResNetBackbone.cifar(units_per_block=3, halting="sact")
        >>> model = sact_tf.models.ImageClassifier(backbone, num_classes=10)
        >>> images = np.random.default_rng(0).normal(size=[8, 16, 16, 3]).astype("float32")
        >>> half = sact_tf.budget.calibrate(model, images, flops_ratio=0.6)
        >>> round(float(sact_tf.budget.FlopsShare(half)(images)), 1)
        0.6
    """
    found = find_shift(model, dataset, flops_ratio)
    if abs(found.flops_ratio - flops_ratio) > TOLERANCE:
        _LOG.warning(
            "calibrate: the nearest to flops_ratio=%.3f that the halting scores of %r allow on "
            "this data is %.3f",
            flops_ratio,
            model.name,
            found.flops_ratio,
        )
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return apply_shift(copy, found.shift)


def find_shift(model: keras.Model, dataset: Any, flops_ratio: float) -> Calibration:
    """The search of `calibrate`, without making a copy.

    Args:
        model, dataset, flops_ratio: as `calibrate`. The model's biases change while this runs and
            are as before when it returns.

    Returns:
        A `Calibration`.

    Raises:
        ValueError: as `calibrate`.
    """
    if isinstance(flops_ratio, bool) or not isinstance(flops_ratio, int | float):
        raise ValueError(f"Expected flops_ratio to be a float, received {flops_ratio!r}")
    halting_biases(model)
    share = FlopsShare(model)
    tried = {}

    def measured(shift):
        if shift not in tried:
            with halting_logits_shifted(model, shift):
                tried[shift] = share(dataset)
        return tried[shift]

    measured(0.0)
    check_budget(share, flops_ratio, share.sizes)
    if abs(tried[0.0] - flops_ratio) > _AIM:
        cheap, dear = _bracket(measured, flops_ratio)
        while min(_errors(tried, flops_ratio).values()) > _AIM:
            middle = (cheap + dear) / 2
            if cheap - dear <= max(_FINEST_STEP, np.spacing(np.float32(abs(middle)))):
                break
            if measured(middle) > flops_ratio:
                dear = middle
            else:
                cheap = middle
    errors = _errors(tried, flops_ratio)
    # Of equally near ones the smallest change.
    best = min(errors, key=lambda shift: (errors[shift], abs(shift)))
    return Calibration(best, tried[best], len(tried))


def _bracket(measured, flops_ratio):
    """`(cheap, dear)`: shifts with at most and with more than the budget, in doubling steps.

    Both ends of the reachable range are met by some shift, however large the logits are. A shift
    that is near enough ends the search, too.
    """
    cheap = dear = 0.0
    step = 1.0

    def beyond(shift, up):
        share = measured(shift)
        return abs(share - flops_ratio) <= _AIM or (share <= flops_ratio) == up

    if measured(0.0) > flops_ratio:
        while not beyond(cheap, True) and step <= _LARGEST_STEP:
            dear, cheap, step = cheap, step, 2 * step
    else:
        while not beyond(dear, False) and step <= _LARGEST_STEP:
            cheap, dear, step = dear, -step, 2 * step
    return cheap, dear


def _errors(tried, flops_ratio):
    return {shift: abs(share - flops_ratio) for shift, share in tried.items()}
