"""Who gets the room that there is for bodies; the rest of it is tried on a real server."""

import asyncio

import pytest
from starlette.requests import Request

from sact_tf.serving.server.bodies import Books, read_body
from sact_tf.serving.server.errors import RequestError
from sact_tf.serving.server.limits import Limits

_LIMITS = Limits(request_bytes=900, pending_bytes=1000)


def _read(books, *chunks, ends=True, headers=()):
    """A task that reads a body of these numbers of bytes; one that does not end waits for more."""
    messages = [{"type": "http.request", "body": bytes(n), "more_body": True} for n in chunks]

    async def receive():
        if messages:
            return messages.pop(0)
        if ends:
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.Event().wait()

    async def read():
        with books.open() as booking:
            return len(await read_body(request, books, booking, _LIMITS))

    request = Request({"type": "http", "headers": list(headers)}, receive)
    return asyncio.create_task(read())


async def _started(books, *chunks, **kwargs):
    task = _read(books, *chunks, **kwargs)
    for _ in range(20):
        await asyncio.sleep(0)
    return task


async def _status(task):
    with pytest.raises(RequestError) as raised:
        await asyncio.wait_for(task, 60)
    return raised.value.status


def test_the_largest_that_is_incomplete_makes_room():
    async def run():
        books = Books(1000)
        large, small = [await _started(books, size, ends=False) for size in (600, 300)]
        assert books.pending == 900
        assert await asyncio.wait_for(_read(books, 100, 100), 60) == 200
        assert await _status(large) == 503
        assert books.pending == 300 and not small.done()
        small.cancel()
        await asyncio.wait([small])
        assert books.pending == 0 and not books.arriving

    asyncio.run(run())


def test_whoever_is_the_largest_is_refused():
    async def run():
        books = Books(1000)
        waiting = await _started(books, 300, ends=False)
        assert await _status(_read(books, 400, 400)) == 503
        assert books.pending == 300 and not waiting.done()
        waiting.cancel()

    asyncio.run(run())


def test_complete_requests_and_answers_keep_their_room():
    async def run():
        books = Books(1000)
        with books.open() as request, books.open() as answer:
            request.add(900)
            answer.add(700, is_optional=False)
            assert await _status(_read(books, 10)) == 503
            assert books.pending == 1600
        assert await _read(books, 10) == 10

    asyncio.run(run())


def test_announced_bytes_are_not_booked():
    async def run():
        books = Books(1000)
        header = [(b"content-length", b"900")]
        tasks = [await _started(books, 1, ends=False, headers=header) for _ in range(5)]
        assert books.pending == 5 and not any(task.done() for task in tasks)
        assert await _status(_read(books, headers=[(b"content-length", b"901")])) == 413
        for task in tasks:
            task.cancel()

    asyncio.run(run())
