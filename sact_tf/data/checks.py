"""Checks of the arguments that data sets have in common."""

from typing import Any

from sact_tf.errors import UserError

SPLITS = ("train", "validation")


def check_split(split: str) -> str:
    """Returns `split`, or raises a `UserError` if there is no such split."""
    if split not in SPLITS:
        raise UserError(f"Expected split to be one of {SPLITS}, received {split!r}")
    return split


def check_integer(name: str, value: Any, minimum: int) -> int:
    """Returns `value`, or raises a `UserError` if it is no int of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UserError(f"Expected {name} to be an int of at least {minimum}, received {value!r}")
    return value


def check_stream(batch_size: int, seed: int, start_step: int, step_stride: int) -> None:
    """Raises a `UserError` if these are no arguments of a data set's `train`."""
    check_integer("batch_size", batch_size, 1)
    check_integer("seed", seed, 0)
    check_integer("start_step", start_step, 0)
    check_integer("step_stride", step_stride, 1)
