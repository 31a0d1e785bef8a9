"""Training images that are nearly one grey: scaled to the wrong range, or empty."""

import logging
import threading
from collections.abc import Callable

import numpy as np

from sact_tf.data.pipeline import trial_reading

_logger = logging.getLogger(__name__)

# 10 bits in 16 leave 4 levels of 256, 12 bits leave 16; so do class numbers and 0 ... 1.
_FEW_LEVELS = 16
_SAMPLE = 100
_STRIDE = 7  # Pixels that tell of nearly every picture that there is more in it.


class GreyLevels:
    """Counts images none of whose channels spans more than 16 of the 256 levels.

    Safe to share by threads.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._plain = 0
        self._found: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def look_at(self, source: str, pixels: np.ndarray) -> None:
        """Takes an image.

        Args:
            source: where it comes from.
            pixels: uint8 [height, width, 3].
        """
        span = _span(pixels[::_STRIDE, ::_STRIDE])
        if span < _FEW_LEVELS:
            span = _span(pixels)
        with self._lock:
            self._seen += 1
            self._plain += span == 0
            if span < _FEW_LEVELS:
                self._found[source] = int(pixels.min()), int(pixels.max())

    def look_at_sample(self, look: Callable[[int], object], count: int) -> None:
        """Looks at 100 images from all over a split; what cannot be read is left out.

        Args:
            look: reads the image of a number and calls `look_at`.
            count: of the split.
        """
        number = min(count, _SAMPLE)
        trial_reading.unreadable(lambda index: look(index * count // number), number)

    def warn(self) -> None:
        """Warns once, with the number, if there were such images."""
        if not self._found:
            return
        source = min(self._found)
        low, high = self._found[source]
        _logger.warning(
            "%d of %d training images looked at use at most %d of the 256 grey levels (%d are of "
            "one value), such as %s (values %d ... %d); data of 10 or 12 bits must be scaled to 16 "
            "bits, and numbers up to 1 to 255, before",
            len(self._found),
            self._seen,
            _FEW_LEVELS,
            self._plain,
            source,
            low,
            high,
        )


def _span(pixels: np.ndarray) -> int:
    """The widest range of values in a channel."""
    if not pixels.size:
        return 0
    return int((pixels.max(axis=(0, 1)).astype(int) - pixels.min(axis=(0, 1))).max())
