"""Sizes and grids as they are written on a command line."""

import re
from collections.abc import Sequence

from sact_tf.errors import UserError
from sact_tf.saliency import ParameterGrid


def parse_size(flag: str, text: str) -> tuple[int, int]:
    """(width, height) in pixels of a text such as "320x180".

    Raises:
        UserError: it is no such text; names the flag.
    """
    size = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not size:
        raise UserError(f"--{flag}: expected WIDTHxHEIGHT such as 320x180, received {text!r}")
    return int(size.group(1)), int(size.group(2))


def parse_grid(
    blur_sizes: Sequence[str],
    center_weights: Sequence[str],
    center_width: float | None,
    search_size: str,
) -> ParameterGrid:
    """The grid that the flags of these names describe.

    Raises:
        UserError: one of them is wrong; names it.
    """
    width, height = parse_size("search_size", search_size)
    numbers = {
        "blur_sizes": _parse_numbers("blur_sizes", blur_sizes),
        "center_weights": _parse_numbers("center_weights", center_weights),
    }
    return ParameterGrid(**numbers, center_width=center_width, height=height, width=width)


def _parse_numbers(flag: str, texts: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(map(float, texts))
    except ValueError as error:
        raise UserError(
            f"--{flag}: expected numbers between commas, received {','.join(texts)}"
        ) from error
