"""Well-behaved clients beside those of a test, and what they notice."""

import threading
import time

from tests.serving.http_client import b64
from tests.serving.models import encode, pixels

GOOD = {"instances": [b64(encode(pixels()))]}
MIB = 1 << 20


class Others:
    """A client that asks all the time; asserts at the end that it was served, and soon.

    The bounds of time and memory are an order of magnitude away from what is seen where a limit
    does not hold.

    Args:
        server: whom they ask.
        most_memory: by how many bytes the server may grow meanwhile.
    """

    def __init__(self, server, most_memory):
        self._server, self._most_memory = server, most_memory
        self._stop = threading.Event()
        self._answers = []
        self._thread = threading.Thread(target=self._ask)

    def _ask(self):
        while not self._stop.is_set():
            start = time.monotonic()
            status, _ = self._server.predict(GOOD)
            self._answers.append((status, time.monotonic() - start))
            self._stop.wait(0.05)

    def __enter__(self):
        start = time.monotonic()
        assert self._server.predict(GOOD)[0] == 200
        self._alone = time.monotonic() - start
        with open(f"/proc/{self._server.process.pid}/clear_refs", "w") as file:
            file.write("5")  # resets the peak
        self._before = _memory(self._server, "VmRSS")
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        if kind is None:
            assert {status for status, _ in self._answers} == {200}
            assert max(seconds for _, seconds in self._answers) < 5 + 20 * self._alone
            grown = _memory(self._server, "VmHWM") - self._before
            assert grown < self._most_memory, f"grew by {grown >> 20} MiB"


def _memory(server, field):
    with open(f"/proc/{server.process.pid}/status") as file:
        (line,) = [line for line in file if line.startswith(field + ":")]
    return int(line.split()[1]) << 10
