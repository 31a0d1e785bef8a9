"""Reading every example once before it counts."""

import concurrent.futures
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from sact_tf.errors import UserError

_logger = logging.getLogger(__name__)

# What is read within a minute or so on one core.
_FEW_FILES = 50_000
_FEW_BYTES = 2**30
_PROGRESS_SECONDS = 5.0
_LISTED = 10


def are_few(paths: list[str]) -> bool:
    """Whether files can all be read before work starts: up to 50,000 of 1 GiB together."""
    return len(paths) <= _FEW_FILES and sum(map(_size, paths)) <= _FEW_BYTES


def unreadable(read: Callable[[int], object], count: int) -> dict[int, UserError]:
    """Tries to read examples, on all cores; says how far it is when that takes long.

    Args:
        read: reads the example of a number; raises a `UserError` if it cannot.
        count: how many there are.

    Returns:
        The error of each number that cannot be read, in ascending order.
    """

    def attempt(index: int) -> UserError | None:
        try:
            read(index)
        except UserError as error:
            return error
        return None

    errors = {}
    reported = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, error in enumerate(pool.map(attempt, range(count))):
            if error is not None:
                errors[index] = error
            if time.monotonic() - reported > _PROGRESS_SECONDS:
                reported = time.monotonic()
                print(f"checking images: {index + 1} of {count}", file=sys.stderr, flush=True)
    return errors


def refuse(errors: Mapping[Any, UserError], count: int) -> None:
    """Raises the first of some errors, with the number of the others; nothing if there are none."""
    for first in errors.values():
        more = f"; {len(errors)} of {count} images are like that" if len(errors) > 1 else ""
        raise UserError(f"{first}{more} (skip_corrupt=true counts and skips them)")


def warn_of_skipped(errors: Mapping[Any, UserError], count: int) -> None:
    """Says in one warning how many of `count` images are skipped, and names the first ten."""
    listed = "; ".join(map(str, list(errors.values())[:_LISTED]))
    _logger.warning(
        "skip_corrupt: %d of %d images cannot be read and are skipped: %s%s",
        len(errors),
        count,
        listed,
        "; ..." if len(errors) > _LISTED else "",
    )


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # A dangling link; reading it says what is wrong.
        return 0
