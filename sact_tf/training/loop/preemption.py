"""Being asked to stop: SIGTERM, as schedulers send it, and Ctrl-C, as people do."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from sact_tf.training.errors import Interrupted, Preempted

_SIGNALS = {signal.SIGTERM: Preempted, signal.SIGINT: Interrupted}
_STDERR = 2
_WAITING = b"\nCtrl-C: stopping after this step; once more stops at once\n"


class Preemption:
    """Turns SIGTERM and Ctrl-C into `Preempted`: at once, or where it suits.

    Ctrl-C after either is a KeyboardInterrupt, at once.

    Args:
        always_deferred: for a process that must not stop without the others.

    Attributes:
        requested: whether one of them has come.
        kind: what to raise for it.
    """

    def __init__(self, always_deferred: bool = False):
        self.requested = False
        self.kind: type[Preempted] = Preempted
        self._always_deferred = always_deferred
        self._is_deferred = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """The signals raise `Preempted` inside, in the main thread of the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # Whoever started the process may want it to ignore Ctrl-C.
        before = {
            number: signal.signal(number, self._on_signal)
            for number in _SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """The signals only set `requested` and `kind` inside."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def _on_signal(self, number, frame):
        del frame
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested, self.kind = True, _SIGNALS[number]
        if not self._is_deferred and not self._always_deferred:
            raise self.kind
        if number == signal.SIGINT:
            # Not print: the signal may have come in the midst of one.
            os.write(_STDERR, _WAITING)
