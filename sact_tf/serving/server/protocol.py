"""Deadlines for clients that do not go on; uvicorn has one for idle connections only."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_LEAST_TAKEN = 1 << 16  # bytes within the seconds for writing


class DeadlineProtocol(H11Protocol):
    """HTTP/1.1 of uvicorn with deadlines. Connections that miss one are closed.

    - While no request is answered: the headers of the next one must be there `header_seconds` after
      the connection was made, or the last answer given. Until then, too, what the client goes on
      sending of a body that nobody wants is thrown away.
    - While an answer is not taken: the client must take 64 KiB of it in `write_seconds`.

    Attributes:
        header_seconds: see above.
        write_seconds: see above.
    """

    header_seconds: float
    write_seconds: float

    _header_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_header_timer()
        self._cancel_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        self._cancel_write_timer()
        super().resume_writing()

    def _watch_headers(self):
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel_header_timer()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_seconds, self.transport.abort)

    def _watch_writing(self):
        left = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.write_seconds, self._check_writing, left)

    def _check_writing(self, before):
        if self.transport.get_write_buffer_size() > before - _LEAST_TAKEN:
            self.transport.abort()
        else:
            self._watch_writing()

    def _cancel_header_timer(self):
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _cancel_write_timer(self):
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def deadline_protocol(header_seconds: float, write_seconds: float) -> type[DeadlineProtocol]:
    """The class with these deadlines; uvicorn makes an object of it for each connection."""
    deadlines = {"header_seconds": header_seconds, "write_seconds": write_seconds}
    return type("Protocol", (DeadlineProtocol,), deadlines)
