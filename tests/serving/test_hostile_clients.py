"""Clients that lie, stall or ask for too much: what they get, and what the others notice."""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

from tests.images import costly_files
from tests.serving.conftest import HEADER_SECONDS
from tests.serving.http_client import b64
from tests.serving.models import encode
from tests.serving.others import GOOD, MIB, Others


@pytest.fixture(name="server", scope="module")
def _server(strict_server):
    return strict_server


@contextlib.contextmanager
def _connected(server, *parts):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        yield connection


def _head(server, *headers, path=None):
    lines = [f"POST {path or server.path}:predict HTTP/1.1", "Host: x", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _answer(connection):
    """Status and JSON of the answer on a socket."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


def _until_closed(connection):
    """What comes until the server hangs up."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


# Files


def test_frames_after_the_first_cost_nothing(server):
    hidden = costly_files.gif((10, 10), (10, 10), (12_000, 12_000))
    many = costly_files.gif((1900, 1900), *[(1900, 1900)] * 100)
    assert len(hidden) < 200_000
    with Others(server, 200 * MIB):
        status, answer = server.predict({"instances": [b64(hidden)]})
        assert status == 200
        plain = {"instances": [b64(encode(np.zeros([10, 10, 3], np.uint8)))]}
        assert answer == server.predict(plain)[1]
        status, content = server.picture(many)
        assert status == 200 and content.startswith(b"\x89PNG")


def test_scans_are_counted(server):
    data = costly_files.jpeg_of_scans(1900, 3000)
    assert len(data) < 200_000
    with Others(server, 200 * MIB), concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(server.predict, [{"instances": [b64(data)]}] * 8))
        assert server.picture(data)[0] == 400
    for status, answer in answers:
        assert status == 400 and "more than the 100 JPEG scans" in answer["error"]


def test_parts_are_counted(server):
    tile = costly_files.tiff(8, 8, (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8))
    strips = costly_files.tiff(1, 1_000_000, (273, 3, 1_000_000, 8), (278, 4, 1, 1))
    with Others(server, 200 * MIB):
        for data in (tile, strips, costly_files.jpeg_of_segments(1_000_000)):
            status, answer = server.predict({"instances": [b64(data)]})
            assert status == 400 and "allowed" in answer["error"]


# Bytes


def test_announced_bytes_take_no_room(server):
    head = _head(server, f"Content-Length: {8 * MIB}")
    with contextlib.ExitStack() as stack, Others(server, 100 * MIB):
        # They announce 320 MiB, where 256 are allowed.
        connections = [stack.enter_context(_connected(server, head)) for _ in range(40)]
        _upload_many(server)
        assert {_answer(connection)[0] for connection in connections} == {408}


def _upload_many(server):
    body = json.dumps(GOOD).encode()

    def upload(_):
        return server.request("POST", server.path + ":predict", iter([body[:900], body[900:]]))

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        assert {status for status, _ in pool.map(upload, range(30))} == {200}


def test_who_sends_much_and_stops_makes_room_for_others(server):
    head, rest = _head(server, f"Content-Length: {8 * MIB}"), bytes(8 * MIB - 1)
    with contextlib.ExitStack() as stack, Others(server, 600 * MIB):
        # All but 32 bytes of the 256 MiB that are allowed.
        connections = [stack.enter_context(_connected(server, head, rest)) for _ in range(32)]
        _wait_until(lambda: _unread(server) == 0)
        _upload_many(server)
        statuses = [_answer(connection)[0] for connection in connections]
    assert set(statuses) == {408, 503}


# Deadlines


def test_half_sent_headers_are_closed(server):
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        beginnings = [b"", b"POST /", _head(server)[:-2]] * 5
        waiting = [stack.enter_context(_connected(server, part)) for part in beginnings]
        with _connected(server, b"GET /") as slow:
            with contextlib.suppress(ConnectionError):
                for _ in range(600):
                    slow.sendall(b"x")
                    time.sleep(0.1)
                pytest.fail("a client may send its headers for ever")
        assert [_until_closed(connection) for connection in waiting] == [b""] * 15
    assert time.monotonic() - start > HEADER_SECONDS / 2


def test_a_second_request_has_a_deadline_too(server):
    status = f"GET {server.path} HTTP/1.1\r\nHost: x\r\n".encode()
    with _connected(server, status + b"\r\n") as connection:
        assert _answer(connection)[0] == 200
        connection.sendall(status)
        assert _until_closed(connection) == b""


def test_slow_bodies_end(server):
    with _connected(server, _head(server, "Content-Length: 1000")) as connection:
        sending = threading.Event()

        def drip():
            with contextlib.suppress(OSError):
                while not sending.wait(0.1):
                    connection.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        status, answer = _answer(connection)
        assert status == 408 and "in time" in answer["error"]
        # What goes on is thrown away, for some time only.
        assert _until_closed(connection) == b""
        sending.set()
        thread.join()


def test_who_does_not_read_the_answer_is_hung_up_on(server):
    noise = np.random.default_rng(0).integers(0, 255, [1900, 1900, 3], np.uint8)
    data = encode(Image.fromarray(noise), "JPEG")
    head = f"POST /picture HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    connections = [socket.socket() for _ in range(10)]
    try:
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(head + data)
        _wait_until(lambda: _established(server) >= 10)
        assert server.predict(GOOD)[0] == 200
        _wait_until(lambda: _established(server) == 0)
    finally:
        for connection in connections:
            connection.close()


def _wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _established(server):
    """How many connections the server has."""
    return len(_rows(server))


def _unread(server):
    """How many bytes have arrived that the server has not read."""
    return sum(int(row[4].split(":")[1], 16) for row in _rows(server))


def _rows(server):
    """The server's established connections, as Linux lists them."""
    rows = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    return [row for row in rows if row[3] == "01" and int(row[1].split(":")[1], 16) == server.port]
