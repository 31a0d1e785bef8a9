"""The REST interface, asked of a real process in TensorFlow Serving's documented forms."""

import concurrent.futures
import http.client
import json
import re
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sact_tf.data.preprocessing import evaluation_function
from sact_tf.errors import UserError
from sact_tf.images.decoding import decode_image
from sact_tf.serving.rest import serve
from sact_tf.serving.server.limits import Limits
from sact_tf.serving.server.servable import Servable, find_version
from tests.harness import ROOT
from tests.serving.http_client import Server, b64
from tests.serving.models import CLASS_NAMES, encode, pixels


@pytest.fixture(scope="module")
def expected(exported):
    """Function of pictures: scores and class names of the model in memory, by falling score."""
    model = exported[0]

    def predict(picture):
        image = evaluation_function(model.preprocessing)(tf.constant(picture))
        scores = tf.nn.softmax(model(image[None])[0]).numpy()
        order = np.argsort(-scores)[:3]
        return [float(scores[i]) for i in order], [CLASS_NAMES[i] for i in order]

    return predict


def test_status(server):
    status, answer = server.request("GET", server.path)
    assert status == 200
    assert answer == {
        "model_version_status": [
            {
                "version": "3",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert server.request("GET", server.path + "/versions/3") == (200, answer)


def test_metadata(server):
    status, answer = server.request("GET", server.path + "/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "pets", "signature_name": "", "version": "3"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "images", "ponder_map"} <= set(signatures)
    assert signatures["images"]["inputs"]["images"]["dtype"] == "DT_FLOAT"
    dimensions = signatures["images"]["inputs"]["images"]["tensor_shape"]["dim"]
    assert [dimension["size"] for dimension in dimensions] == ["-1", "-1", "-1", "3"]
    assert signatures["serving_default"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert server.request("GET", server.path + "/versions/3/metadata") == (200, answer)


def test_rows(server, expected):
    pictures = [pixels(24, 30, 1), pixels(17, 40, 2)]
    bare = {"instances": [b64(encode(picture)) for picture in pictures]}
    named = {"instances": [{"image_bytes": value} for value in bare["instances"]]}
    status, answer = server.predict(bare)
    assert status == 200 and set(answer) == {"predictions"}
    assert server.predict(named) == (200, answer)
    assert server.predict(named, server.path + "/versions/3") == (200, answer)
    for picture, row in zip(pictures, answer["predictions"], strict=True):
        scores, names = expected(picture)
        assert row["classes"] == names and row["scores"] == pytest.approx(scores, abs=1e-5)
        assert [CLASS_NAMES[label] for label in row["labels"]] == names


def test_columns(server, expected):
    values = [b64(encode(pixels(seed=seed))) for seed in (1, 2)]
    status, answer = server.predict({"inputs": {"image_bytes": values}})
    assert status == 200 and set(answer) == {"outputs"}
    assert server.predict({"inputs": values, "signature_name": "serving_default"})[1] == answer
    assert answer["outputs"]["classes"] == [expected(pixels(seed=seed))[1] for seed in (1, 2)]


def test_numbers(server, exported):
    images = np.random.default_rng(0).normal(size=[2, 9, 11, 3]).astype(np.float32)
    content = {"signature_name": "images", "instances": images.tolist()}
    status, answer = server.predict(content)
    assert status == 200
    received = [row["logits"] for row in answer["predictions"]]
    np.testing.assert_allclose(received, exported[0](images), atol=1e-5)
    content = {"signature_name": "images", "inputs": {"images": images.tolist()}}
    np.testing.assert_allclose(server.predict(content)[1]["outputs"]["logits"], received)


def test_ponder_map(server, exported):
    picture = pixels(20, 26)
    content = {"signature_name": "ponder_map", "instances": [b64(encode(picture))]}
    status, answer = server.predict(content)
    (row,) = answer["predictions"]
    image = evaluation_function({"name": "scale"})(tf.constant(picture))
    wanted = exported[0].ponder(image[None])
    assert status == 200 and row["flops"] == wanted["flops"][0]
    assert row["image_size"] == [20, 26]
    np.testing.assert_allclose(row["ponder_cost_map"], wanted["ponder_cost_map"][0], atol=1e-4)
    np.testing.assert_array_equal(row["block2_num_units"], wanted["block2"]["num_units"][0])


def _bomb(width, height):
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


_GOOD = b64(encode(pixels()))
BAD = {
    "no JSON": (b"{", "no JSON"),
    "empty": (b"", "no JSON"),
    "not even text": (b"\xff\xfe\x00", "no JSON"),
    "deep": (b"[" * 100_000, "no JSON"),
    "a list": ([1], "expected a JSON object"),
    "neither form": ({}, 'either "instances" or "inputs"'),
    "both forms": ({"instances": [_GOOD], "inputs": [_GOOD]}, "either"),
    "unknown key": ({"instances": [_GOOD], "signature": "x"}, "unknown keys ['signature']"),
    "wrong signature": ({"signature_name": "x", "instances": [_GOOD]}, "not found in signature"),
    "signature no name": ({"signature_name": 3, "instances": [_GOOD]}, "to be a string"),
    "no instances": ({"instances": []}, "one or more"),
    "instances no list": ({"instances": "x"}, "one or more"),
    "wrong input": ({"instances": [{"picture": _GOOD}]}, "expected the inputs ['image_bytes']"),
    "mixed": ({"instances": [{"image_bytes": _GOOD}, _GOOD]}, "the same inputs"),
    "number for an image": ({"instances": [3]}, "expected strings"),
    "nested": ({"instances": [[_GOOD]]}, "expected the shape [?]"),
    "no base64": ({"instances": [{"b64": "§"}]}, "no base64"),
    "no image": ({"instances": [b64(b"hello")]}, "damaged, or none of BMP, GIF"),
    "cut": (
        {"instances": [b64(encode(pixels(90, 90))[:3000])]},
        "not a readable image (the file is truncated",
    ),
    "cut JPEG": (
        {"instances": [b64(encode(pixels(90, 90), "JPEG")[:700])]},
        "not a readable image",
    ),
    "ICO": (
        {"instances": [b64(encode(pixels(), "ICO"))]},
        "none of BMP, GIF, JPEG, PNG, PPM, TIFF",
    ),
    "large": ({"instances": [b64(encode(pixels(250, 250)))]}, "250 x 250 pixels, more than"),
    "bomb": ({"instances": [b64(_bomb(60_000, 60_000))]}, "more than the 50000"),
    "claims 2**31": ({"instances": [b64(_bomb(2**31 - 1, 2**31 - 1))]}, "an image"),
    "together": ({"instances": [b64(_bomb(200, 9)), b64(_bomb(9, 200))]}, "padded to one size"),
    "too many": ({"instances": [_GOOD] * 9}, "more than 8 images"),
    "ragged": ({"signature_name": "images", "instances": [[[1, 2], [1]]]}, "different lengths"),
    "flat": ({"signature_name": "images", "instances": [[1.0]]}, "expected the shape [?, ?, ?, 3]"),
    "text": ({"signature_name": "images", "instances": [[[["a", "b", "c"]]]]}, "expected numbers"),
    "huge number": ({"signature_name": "images", "instances": [[[[10**400, 1, 1]]]]}, "expected"),
    "no pixels": ({"signature_name": "images", "instances": [[]]}, "expected the shape"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(server, name):
    content, message = BAD[name]
    status, answer = server.predict(content)
    assert status == 400 and set(answer) == {"error"} and message in answer["error"]
    assert server.predict({"instances": [_GOOD]})[0] == 200


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG", "GIF"])
def test_formats_that_a_graph_refuses_are_served_as_they_were_trained(server, expected, kind):
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = Image.fromarray(pixels(20, 26))
    options = {"transparency": 3} if kind == "GIF" else {"exif": turned}
    data = encode(picture.quantize(16) if kind == "GIF" else picture, kind, **options)
    status, answer = server.predict({"instances": [b64(data)]})
    scores, names = expected(decode_image(data, kind))
    (row,) = answer["predictions"]
    assert status == 200 and row["classes"] == names
    assert row["scores"] == pytest.approx(scores, abs=1e-5)


def test_a_picture_as_the_model_gets_it(server):
    turned = Image.Exif()
    turned[0x0112] = 6
    data = encode(pixels(20, 26), "TIFF", exif=turned)
    status, content = server.picture(data)
    assert status == 200
    np.testing.assert_array_equal(tf.io.decode_png(content), decode_image(data, "picture"))
    for bad in (b"no image", b"", encode(pixels(250, 250)), encode(pixels(90, 90))[:3000]):
        assert server.picture(bad)[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/dogs", 404),
        ("GET", "/v1/models/pets/versions/2", 404),
        ("POST", "/v1/models/dogs:predict", 404),
        ("POST", "/v1/models/pets/versions/2:predict", 404),
        ("POST", "/v1/models/pets:classify", 405),
        ("GET", "/v1/models/pets:predict", 405),
        ("GET", "/v1/models/pets/versions/3:predict", 405),
        ("GET", "/v1/models/pets/versions/x", 404),
        ("GET", "/v1/models/pets/versions/" + "3" * 5000, 404),  # no int for Python
        ("GET", "/etc/passwd", 404),
        ("DELETE", "/v1/models/pets", 405),
    ],
)
def test_wrong_paths(server, method, path, status):
    received, answer = server.request(method, path)
    assert set(answer) == {"error"}
    assert received == status
    if "dogs" in path:
        assert answer["error"].endswith("; there is Specific(pets, 3)")


def test_a_request_that_is_too_long_is_not_even_read(server):
    for headers in ({"Content-Length": str(10**12)}, {"Content-Length": str((1 << 20) + 1)}):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.putrequest("POST", server.path + ":predict")
        for header in headers.items():
            connection.putheader(*header)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413 and "allowed" in json.loads(answer.read())["error"]
        connection.close()

    def chunks():
        yield from (b"x" * 65536 for _ in range(40))

    try:
        status, _ = server.request("POST", server.path + ":predict", chunks())
        assert status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # hung up on, while we were still sending
    assert server.predict({"instances": [_GOOD]})[0] == 200


def test_concurrent_requests_get_their_own_answers(server, expected):
    sizes = [(24, 30), (24, 30), (24, 30), (17, 40)]
    pictures = [pixels(*sizes[seed % 4], seed) for seed in range(24)]
    broken = b64(encode(pixels(90, 90))[:3000])

    def ask(number):
        if number % 5 == 4:
            return server.predict({"instances": [broken]})
        return server.predict({"instances": [b64(encode(pictures[number]))]})

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(24)))
    for number, (status, answer) in enumerate(answers):
        if number % 5 == 4:
            assert status == 400
            continue
        scores, names = expected(pictures[number])
        assert status == 200 and answer["predictions"][0]["classes"] == names
        assert answer["predictions"][0]["scores"] == pytest.approx(scores, abs=1e-4)


def test_overload_is_refused_and_requests_under_way_are_finished(exported):
    with Server(exported[1], "--pending_images=1", "--batch_size=1") as busy:
        large = b64(encode(pixels(700, 700)))
        content = {"signature_name": "ponder_map", "instances": [large]}

        def ask(_):
            return busy.predict(content)[0]

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(ask, range(12)))
            assert 200 in statuses and 503 in statuses and set(statuses) == {200, 503}

            def ask_until_admitted():
                while (status := ask(0)) == 503:
                    pass
                return status

            under_way = pool.submit(ask_until_admitted)
            # Once the server refuses another one, it is at work on the first.
            while not under_way.done() and ask(0) != 503:
                pass
            assert busy.stop() == 0
            assert under_way.result() == 200
        assert "all requests are answered" in busy.process.stdout.read()
        assert busy.errors == []  # nothing of TensorFlow either
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", busy.port))


def test_it_listens_on_this_machine_alone(server):
    listening = _listening_addresses(server.port)
    assert listening == {"0100007F"}


def _listening_addresses(port):
    """Local addresses on which the machine listens at a port, as Linux lists them."""
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in open(table).read().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.split(":")[1], 16) == port:
                addresses.add(local.split(":")[0])
    return addresses


def test_mistakes_of_whoever_starts_it(exported, tmp_path):
    (tmp_path / "pets" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"\x12\xff\xff")
    cases = {
        str(tmp_path / "nothing"): "no such directory",
        str(tmp_path / "pets"): "no version in it",
        str(exported[1] / "3"): f"its parent {exported[1]} is the folder to give",
        str(tmp_path / "broken"): "cannot be loaded as a SavedModel",
    }
    for path, message in cases.items():
        with pytest.raises(UserError) as raised:
            Servable(find_version(path))
        assert path in str(raised.value) and message in str(raised.value)
    command = [sys.executable, "-m", "sact_tf.serving.rest", f"--export_dir={tmp_path / 'pets'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(r"^error: .*no version in it", done.stderr, re.MULTILINE)


def test_a_missing_package_is_said_with_what_installs_it(tmp_path, monkeypatch):
    code = (
        "import runpy, sys; sys.modules['starlette'] = None; "
        f"sys.argv = ['rest', '--export_dir={tmp_path}']; "
        "runpy.run_module('sact_tf.serving.rest', run_name='__main__')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (line,) = re.findall(r"^error: .*", done.stderr, re.MULTILINE)
    assert "package starlette," in line and "pip install '.[serving]'" in line
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match="package uvicorn,"):
        serve(tmp_path, None, "127.0.0.1", 0, Limits())


@pytest.mark.parametrize("name", ["a/b", ".", "..", "b\udcff"])
def test_names_that_no_url_has_are_refused(exported, name):
    with pytest.raises(UserError, match="--model_name: .* cannot be part of a URL"):
        serve(exported[1], name, "127.0.0.1", 0, Limits())


@pytest.mark.parametrize("origin", ["a.example", "https://a.example/", "https://*", "", "null"])
def test_origins_that_no_browser_sends_are_refused(exported, origin):
    with pytest.raises(UserError, match="--cors_origins: expected"):
        serve(exported[1], None, "127.0.0.1", 0, Limits(), cors_origins=["*", origin])
