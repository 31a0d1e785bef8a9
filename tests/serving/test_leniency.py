"""What clients of TensorFlow Serving send: base64, gzip, too large bodies; odd names, CORS."""

import concurrent.futures
import gzip
import http.client
import json
import urllib.parse

import numpy as np
import pytest

from tests.serving.browser import Browser, find_browser
from tests.serving.conftest import ODD_NAME
from tests.serving.http_client import b64
from tests.serving.models import encode, pixels
from tests.serving.others import GOOD, MIB, Others


@pytest.fixture(name="server", scope="module")
def _server(strict_server):
    return strict_server


@pytest.mark.parametrize("form", ["lines", "no padding", "lines without padding"])
def test_base64_as_tensorflow_serving_takes_it(server, form):
    expected = server.predict(GOOD)
    text = b64(encode(pixels()) + bytes(1))["b64"]  # a byte more, so that there is padding
    assert text.endswith("=")
    if "padding" in form:
        text = text.rstrip("=")
    if "lines" in form:
        text = "\r\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + "\n"
    assert server.predict({"instances": [{"b64": text}]}) == expected


@pytest.mark.parametrize("text", ["QQ=", "A", "QQ==Q", "a-b_", "QUI§", "Q=Q="])
def test_what_is_no_base64(server, text):
    status, answer = server.predict({"instances": [{"b64": text}]})
    assert status == 400 and "no base64" in answer["error"]


def test_lists_without_end(server):
    status, answer = server.predict(b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}")
    assert status == 400 and "too deep" in answer["error"]


def _send(server, body, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request("POST", server.path + ":predict", body, headers)


def test_compressed_bodies(server):
    body = json.dumps(GOOD).encode()
    expected = server.predict(GOOD)
    for encoding in ("gzip", "x-gzip", "GZIP"):
        assert _send(server, gzip.compress(body), Content_Encoding=encoding) == expected
    assert _send(server, body, Content_Encoding="identity") == expected
    # Several pieces, and nearly as many compressed bytes as there may be.
    noise = np.random.default_rng(0).integers(0, 255, 5 * MIB, np.uint8).tobytes()
    status, answer = _send(
        server,
        gzip.compress(json.dumps({"instances": [b64(noise)]}).encode()),
        Content_Encoding="gzip",
    )
    assert status == 400 and "none of BMP" in answer["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "no gzip"),
        (b"", "not one whole gzip member"),
        (gzip.compress(b"{}")[:-3], "not one whole gzip member"),
        (gzip.compress(b"{}") + b"x", "not one whole gzip member"),
        (gzip.compress(b"{}")[:-5] + b"\0" * 5, "no gzip"),
    ],
)
def test_damaged_compressed_bodies(server, body, message):
    status, answer = _send(server, body, Content_Encoding="gzip")
    assert status == 400 and message in answer["error"]


def test_limits_are_of_decompressed_bytes(server):
    bomb = gzip.compress(bytes(200 * MIB), 9)
    assert len(bomb) < 2 * MIB
    with Others(server, 150 * MIB), concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _send(server, bomb, Content_Encoding="gzip"), range(8)))
    for status, answer in answers:
        assert status == 413 and f"{8 * MIB} bytes" in answer["error"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_unknown_encodings(server, encoding):
    status, answer = _send(server, b"{}", Content_Encoding=encoding)
    assert status == 415 and answer == {
        "error": f"Content-Encoding: {encoding} is not known; allowed are gzip and identity"
    }


@pytest.mark.parametrize("form", ["length", "chunks", "another path"])
def test_http_client_reads_the_refusal_of_a_body_that_is_too_large(server, form):
    body = bytes(40 * MIB)
    with Others(server, 100 * MIB):
        for _ in range(5):
            if form == "another path":
                assert server.request("POST", "/nothing", body)[0] == 404
                continue
            chunks = iter([body[:MIB]] * 40)
            status, answer = _send(server, body if form == "length" else chunks)
            assert status == 413 and f"more than the {8 * MIB} bytes" in answer["error"]


def test_a_connection_goes_on_after_a_refusal(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for body, status in ((bytes(9 * MIB), 413), (json.dumps(GOOD).encode(), 200)):
        connection.request("POST", server.path + ":predict", body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def _cors(server, method, origin, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(GOOD) if method == "POST" else None
    connection.request(method, server.path + ":predict", body, {"Origin": origin, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_pages_of_named_sites_may_ask(server):
    asked = {
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "content-type",
    }
    for origin in ("https://a.example", "http://localhost:3000"):
        answer = _cors(server, "OPTIONS", origin, **asked)
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"] == "content-type"
        answer = _cors(server, "POST", origin, Content_Type="application/json")
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert _cors(server, "OPTIONS", "https://b.example", **asked).status == 400
    answer = _cors(server, "POST", "https://b.example")
    assert "Access-Control-Allow-Origin" not in answer.headers
    # Errors can be read as well.
    answer = _cors(server, "POST", "https://a.example", Content_Encoding="br")
    assert answer.status == 415
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"


def test_names_are_escaped_in_urls(server):
    assert server.path == "/v1/models/" + urllib.parse.quote(ODD_NAME, safe="")
    for path in ("", "/metadata", "/versions/3", "/versions/3/metadata"):
        assert server.request("GET", server.path + path)[0] == 200
    assert server.predict(GOOD, server.path + "/versions/3")[0] == 200
    assert server.request("GET", server.path + "x")[0] == 404


def test_the_page_knows_a_model_of_any_name(server, tmp_path):
    browser = find_browser()
    if browser is None:
        pytest.skip("there is no Chromium")
    text = GOOD["instances"][0]["b64"]
    with Browser(browser, tmp_path) as page:
        page.open(f"http://127.0.0.1:{server.port}/")
        assert page.evaluate("document.querySelector('h1').innerText") == f"{ODD_NAME} (classifier)"
        page.evaluate(
            f"show(new File([Uint8Array.from(atob({text!r}), c => c.charCodeAt(0))], 'a.png'))"
        )
        page.wait_for("document.getElementById('status').innerText === 'a.png'")
        assert page.evaluate("document.querySelectorAll('#classes tbody tr').length") == 3
