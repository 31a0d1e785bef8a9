"""What a data set does about images that cannot be read."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from sact_tf.data.pipeline.random_bits import random_uniform
from sact_tf.errors import UserError

_logger = logging.getLogger(__name__)

_MAX_SUBSTITUTES = 100

_Example = TypeVar("_Example")


class CorruptImages:
    """Stops at an image that cannot be read, or counts and replaces it. Safe to share by threads.

    Args:
        skip: whether to skip them instead of stopping.
    """

    def __init__(self, skip: bool):
        self.skip = skip
        self._found: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def found(self) -> dict[str, str]:
        """The images skipped up to now: where each comes from, and what is wrong."""
        with self._lock:
            return dict(self._found)

    def update(self, errors: dict[str, str]) -> None:
        """Adds images that were reported elsewhere."""
        with self._lock:
            self._found.update(errors)

    def report(self, path: str, error: UserError) -> None:
        """Counts a corrupt image once; raises the error where they are not to be skipped."""
        if not self.skip:
            raise error
        with self._lock:
            if path in self._found:
                return
            self._found[path] = str(error)
            number = len(self._found)
        _logger.warning("skip_corrupt: %d corrupt image(s) skipped up to now: %s", number, error)

    def read_or_substitute(
        self,
        read: Callable[[int], _Example],
        path: Callable[[int], str],
        index: int,
        count: int,
        keys: np.ndarray,
    ) -> _Example:
        """Reads an example, or another one in its place.

        Args:
            read: reads the example of a number; raises a `UserError` if it cannot.
            path: where the example of a number comes from.
            index: number of the example.
            count: how many there are.
            keys: uint64 [1] (`sact_tf.data.pipeline.random_bits`); decides the substitutes.

        Raises:
            UserError: as `report`, or 101 in a row cannot be read.
        """
        draws = None
        for attempt in range(_MAX_SUBSTITUTES + 1):
            try:
                return read(index)
            except UserError as error:
                self.report(path(index), error)
            if draws is None:
                draws = (random_uniform(keys, _MAX_SUBSTITUTES + 1)[0] * count).astype(np.int64)
            index = int(draws[attempt])
        raise UserError(
            f"{_MAX_SUBSTITUTES + 1} images drawn one after the other cannot be read; "
            f"the last one: {path(index)}"
        )
