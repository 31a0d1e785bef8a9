"""Bodies of requests: read into memory that is counted, as they arrive."""

import asyncio
import contextlib
import zlib
from collections.abc import Iterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from sact_tf.serving.server.errors import RequestError, bad_request, overloaded
from sact_tf.serving.server.limits import Limits

_GZIP = ("gzip", "x-gzip")
_GZIP_HEADER = 31  # zlib's number for "with gzip's header and checksum"
_PIECE = 1 << 20


class Booking:
    """Bytes that one request or answer holds.

    Attributes:
        size: how many.
        timeout: of the body, while it arrives.
        is_evicted: whether it was given up to make room for others.
    """

    def __init__(self, books: "Books"):
        self._books = books
        self.size = 0
        self.timeout: asyncio.Timeout | None = None
        self.is_evicted = False

    def add(self, size: int, is_optional: bool = True) -> None:
        """Books bytes. Where there is no room, the largest body that still arrives is given up: a
        client that is slow to send much must not keep others from sending little.

        Args:
            size: how many.
            is_optional: whether they can be refused.

        Raises:
            RequestError: 503, there is no room, or this is the one to give up.
        """
        self.check()
        self.size += size
        self._books.pending += size
        if is_optional and self._books.pending > self._books.most:
            largest = max(self._books.arriving, key=lambda booking: booking.size, default=None)
            if largest is None or largest is self:
                raise overloaded()
            largest.evict()

    def subtract(self, size: int) -> None:
        """Gives back bytes."""
        self.size -= size
        self._books.pending -= size

    def evict(self) -> None:
        """Gives back everything, and ends the request."""
        self.is_evicted = True
        self._books.arriving.discard(self)
        self.subtract(self.size)
        if self.timeout is not None:
            self.timeout.reschedule(0)  # the past

    def check(self) -> None:
        """Raises RequestError if it was given up."""
        if self.is_evicted:
            raise overloaded()


class Books:
    """What all requests and answers hold together: counted when it is there, not when announced.

    Args:
        most: bytes.

    Attributes:
        pending: bytes that are booked.
        arriving: bookings of bodies that are not there as a whole.
    """

    def __init__(self, most: int):
        self.most = most
        self.pending = 0
        self.arriving: set[Booking] = set()

    @contextlib.contextmanager
    def open(self) -> Iterator[Booking]:
        """A booking that ends with the block."""
        booking = Booking(self)
        try:
            yield booking
        finally:
            booking.subtract(booking.size)


async def read_body(request: Request, books: Books, booking: Booking, limits: Limits) -> bytes:
    """Reads the body of a request, decompressed.

    Raises:
        RequestError: it is too large, too slow, in no known encoding, or no gzip; or 503.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", *_GZIP):
        raise RequestError(
            415,
            f"Content-Encoding: {encoding} is not known; allowed are gzip and identity",
            {"Accept-Encoding": "gzip, identity"},
        )
    _check_size(int(request.headers.get("content-length", 0)), limits.request_bytes)
    body = bytearray()
    books.arriving.add(booking)
    try:
        async with asyncio.timeout(limits.body_seconds) as booking.timeout:
            async for chunk in request.stream():
                booking.add(len(chunk))
                body += chunk
                _check_size(len(body), limits.request_bytes)
    except TimeoutError:
        booking.check()
        raise RequestError(408, "the request did not arrive in time") from None
    except ClientDisconnect:
        raise bad_request("the client went away") from None
    finally:
        books.arriving.discard(booking)
    booking.check()
    if encoding in _GZIP:
        return await _gunzip(bytes(body), booking, limits.request_bytes)
    return bytes(body)


async def _gunzip(compressed, booking, most):
    stream, body, rest = zlib.decompressobj(_GZIP_HEADER), bytearray(), compressed
    try:
        while not stream.eof:
            # In pieces: a thousand times the compressed bytes can come out.
            piece = await run_in_threadpool(stream.decompress, rest, _PIECE)
            rest = stream.unconsumed_tail
            if not piece and not rest:
                break
            booking.add(len(piece))
            body += piece
            _check_size(len(body), most)
    except zlib.error as error:
        raise bad_request(f"the body is no gzip: {error}") from None
    if not stream.eof or stream.unused_data:
        raise bad_request("the body is not one whole gzip member")
    booking.subtract(len(compressed))
    return bytes(body)


def _check_size(size, most):
    if size > most:
        raise RequestError(413, f"the request has more than the {most} bytes allowed")
