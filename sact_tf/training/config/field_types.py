"""Types for config fields that carry their own range, and the check of one value against a type."""

import dataclasses
import math
import types
import typing
from typing import Annotated, Any, Literal, Union


@dataclasses.dataclass(frozen=True)
class Range:
    """Allowed numbers: `minimum <= value <= maximum`, or `<` where an end is excluded."""

    minimum: float = -math.inf
    maximum: float = math.inf
    exclude_minimum: bool = False
    exclude_maximum: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.minimum if self.exclude_minimum else value >= self.minimum
        below = value < self.maximum if self.exclude_maximum else value <= self.maximum
        return above and below

    def __str__(self) -> str:
        parts = []
        if self.minimum > -math.inf:
            parts.append(f"{'>' if self.exclude_minimum else '>='} {_exactly(self.minimum)}")
        if self.maximum < math.inf:
            parts.append(f"{'<' if self.exclude_maximum else '<='} {_exactly(self.maximum)}")
        return " and ".join(parts)


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
# What the random generators of Python, NumPy and TensorFlow all take.
LARGEST_SEED = 2**32 - 1
Seed = Annotated[int, Range(0, LARGEST_SEED)]
PositiveFloat = Annotated[float, Range(0, exclude_minimum=True)]
NonNegativeFloat = Annotated[float, Range(0)]
# Of [0, 1): momentum, label smoothing.
Fraction = Annotated[float, Range(0, 1, exclude_maximum=True)]
# Of (0, 1): the halting epsilon.
OpenFraction = Annotated[float, Range(0, 1, exclude_minimum=True, exclude_maximum=True)]


class Mismatch(Exception):
    """A value that does not belong to its type."""


def checked(value: Any, annotation: Any) -> Any:
    """Returns `value` as its field keeps it.

    Args:
        value: a value from YAML: None, bool, int, float, str or a list of these.
        annotation: the field's type: one of these, `Literal`, `list[...]`, a union, or any of them
            `Annotated` with a `Range`.

    Returns:
        The value; an int becomes a float where the field is one.

    Raises:
        Mismatch: its message says what is allowed and what came.
    """
    try:
        return _checked(value, annotation)
    except Mismatch:
        came = "null" if value is None else f"{_shown(value)} ({type(value).__name__})"
        raise Mismatch(f"expected {describe(annotation)}, received {came}") from None


def is_text(annotation: Any) -> bool:
    """Whether a type allows texts and nothing else, but for null."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return all(isinstance(arg, str) for arg in args)
    if origin in (Union, types.UnionType):
        return all(arg is type(None) or is_text(arg) for arg in args)
    return annotation is str


def describe(annotation: Any) -> str:
    """Says in words which values a type allows."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return f"{describe(args[0])} {args[1]}"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in args)
    if origin is Literal:
        return "one of " + ", ".join(str(arg) for arg in args)
    if origin is list:
        return f"a list of ({describe(args[0])})"
    names = {type(None): "null", bool: "true or false", int: "an int", float: "a number"}
    return names.get(annotation, "a text" if annotation is str else str(annotation))


def _exactly(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python does not print numbers of thousands of digits
        return "something far too large"


def _checked(value: Any, annotation: Any) -> Any:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        value = _checked(value, args[0])
        if value not in args[1]:
            raise Mismatch
        return value
    if origin in (Union, types.UnionType):
        for arg in args:
            try:
                return _checked(value, arg)
            except Mismatch:
                continue
        raise Mismatch
    if origin is Literal:
        # 1 == True in Python, so the type counts as well.
        if any(value == arg and type(value) is type(arg) for arg in args):
            return value
        raise Mismatch
    if origin is list:
        if not isinstance(value, list):
            raise Mismatch
        return [_checked(item, args[0]) for item in value]
    if annotation is float:
        if type(value) not in (int, float):
            raise Mismatch
        try:
            number = float(value)
        except OverflowError:
            raise Mismatch from None
        if not math.isfinite(number):
            raise Mismatch
        return number
    if type(value) is not annotation:
        raise Mismatch
    return value
