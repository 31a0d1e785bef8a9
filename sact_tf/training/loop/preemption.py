"""Being asked to stop: SIGTERM, as schedulers send it before they take a machine away."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from sact_tf.training.errors import Preempted


class Preemption:
    """Turns SIGTERM into `Preempted`: at once, or where it suits.

    Args:
        always_deferred: for a process that must not stop without the others.

    Attributes:
        requested: whether SIGTERM has come.
    """

    def __init__(self, always_deferred: bool = False):
        self.requested = False
        self._always_deferred = always_deferred
        self._is_deferred = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """SIGTERM raises `Preempted` inside, in the main thread of the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """SIGTERM only sets `requested` inside."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def _on_signal(self, number, frame):
        del number, frame
        self.requested = True
        if not self._is_deferred and not self._always_deferred:
            raise Preempted
