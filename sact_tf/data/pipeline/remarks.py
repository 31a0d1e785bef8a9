"""Warnings that hold for many images: one line each, with the number."""

import logging
import threading

_logger = logging.getLogger(__name__)


class Remarks:
    """Counts what is to be said of images until it is said. Safe to share by threads.

    What comes after that, while training reads on, is said of the first image only.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}
        self._has_said = False
        self._lock = threading.Lock()

    def add(self, text: str, source: str) -> None:
        """Takes a remark on the image that comes from `source`."""
        with self._lock:
            is_new, is_late = text not in self._found, self._has_said
            if is_new or not is_late:  # Every epoch reads all images again.
                self._found.setdefault(text, []).append(source)
        if is_new and is_late:
            _logger.warning("%s: %s (said for one image only)", source, text)

    def say(self) -> None:
        """Warns of what has come up to now: the first image, and how many there are."""
        with self._lock:
            self._has_said = True
            found = {text: sorted(set(sources)) for text, sources in self._found.items()}
        for text, sources in found.items():
            more = f" ({len(sources)} images are like that)" if len(sources) > 1 else ""
            _logger.warning("%s: %s%s", sources[0], text, more)
