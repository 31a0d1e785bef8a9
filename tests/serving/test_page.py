"""The page at /, in a real browser."""

import base64
import json
import re

import pytest
import tensorflow as tf
from PIL import Image

from sact_tf.images.decoding import decode_image
from sact_tf.serving.server.page import page
from tests.serving.browser import Browser, find_browser
from tests.serving.http_client import b64
from tests.serving.models import encode, pixels

_NO_BROWSER = "there is no Chromium (apt-get install chromium, or set CHROMIUM to a browser)"

# What a person does who drops a file: the same events, with a file made of these bytes.
_DROP = """
(async () => {
  const bytes = Uint8Array.from(atob(%s), c => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], %s));
  for (const kind of ["dragover", "drop"])
    document.getElementById("drop").dispatchEvent(
        new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
})()
"""
_TABLE = (
    "[...document.querySelectorAll('#%s tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
)


@pytest.fixture(scope="module")
def browser(server, tmp_path_factory):
    path = find_browser()
    if path is None:
        pytest.skip(_NO_BROWSER)
    with Browser(path, tmp_path_factory.mktemp("profile")) as browser:
        browser.open(f"http://127.0.0.1:{server.port}/")
        yield browser


def _drop(browser, data, name):
    browser.evaluate(_DROP % (json.dumps(base64.b64encode(data).decode()), json.dumps(name)))


def test_a_dropped_image_is_classified_and_its_ponder_map_drawn(browser, server, tmp_path):
    data = encode(pixels(40, 56, 3), "JPEG")
    _drop(browser, data, "photo.jpg")
    browser.wait_for("!document.getElementById('result').hidden")
    _, answer = server.predict({"signature_name": "ponder_map", "instances": [b64(data)]})
    (expected,) = answer["predictions"]
    assert browser.evaluate("document.getElementById('status').innerText") == "photo.jpg"
    assert browser.evaluate(_TABLE % "classes") == [
        [name, f"{100 * score:.1f} %"]
        for name, score in zip(expected["classes"], expected["scores"], strict=True)
    ]
    flops = browser.evaluate("document.getElementById('flops').innerText")
    assert flops.startswith(f"{expected['flops'] / 1e6:.1f} MFLOPs")
    assert f"{100 * expected['flops'] / expected['plain_flops']:.1f} %" in flops
    assert [row[0] for row in browser.evaluate(_TABLE % "units")] == ["block1", "block2"]
    size = "[document.getElementById('{0}').width, document.getElementById('{0}').height]"
    assert browser.evaluate(size.format("image")) == [56, 40]
    assert browser.evaluate(size.format("map")) == [56, 40]
    # The cheapest position has the first colour of the scale, the dearest the last.
    costs = [cost for row in expected["ponder_cost_map"] for cost in row]
    for cost, color in ((min(costs), [68, 1, 84]), (max(costs), [253, 231, 37])):
        place = costs.index(cost)
        pixel = f"getImageData({place % 56}, {place // 56}, 1, 1).data"
        context = f"document.getElementById('map').getContext('2d').{pixel}"
        assert browser.evaluate(f"[...{context}].slice(0, 3)") == color
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 5000


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_picture_and_map_are_turned_alike(browser, kind):
    turned = Image.Exif()
    turned[0x0112] = 6
    data = encode(pixels(40, 56, 3), kind, exif=turned)
    name = f"turned {kind}"
    _drop(browser, data, name)
    browser.wait_for(f"document.getElementById('status').innerText === '{name}'")
    size = "[document.getElementById('{0}').width, document.getElementById('{0}').height]"
    assert browser.evaluate(size.format("image")) == [40, 56]
    assert browser.evaluate(size.format("map")) == [40, 56]
    context = "document.getElementById('image').getContext('2d').getImageData(3, 50, 1, 1).data"
    expected = decode_image(data, "picture")[50, 3].tolist()
    assert browser.evaluate(f"[...{context}].slice(0, 3)") == expected


@pytest.mark.parametrize("side", [7, 16, 31, 100, 333])
def test_the_region_shown_is_what_a_model_of_imagenet_sees(side):
    text = page("x", {"kind": "classifier", "preprocessing": {"name": "imagenet"}})
    margin = float(re.search(r'data-margin="(.*?)"', text)[1])
    left = int(side * margin)
    row = tf.tile(tf.range(side)[None, :, None], [side, 1, 1])
    seen = tf.image.central_crop(row, 0.875)[0, :, 0].numpy()
    assert seen.tolist() == list(range(left, side - left))
    for whole in ({"name": "imagenet", "short_side": 600}, {"name": "scale"}):
        kind = "detector" if "short_side" in whole else "classifier"
        assert 'data-margin="0"' in page("x", {"kind": kind, "preprocessing": whole})


def test_what_is_no_image_is_said_on_the_page(browser):
    _drop(browser, b"no image", "notes.txt")
    browser.wait_for("document.getElementById('status').className === 'error'")
    text = browser.evaluate("document.getElementById('status').innerText")
    assert "none of BMP, GIF" in text
    assert browser.evaluate("document.getElementById('result').hidden")


def test_nothing_comes_from_elsewhere_and_names_are_no_markup():
    text = page('<script><img src="x">', {"kind": "classifier"})
    assert "<img" not in text and text.count("<script>") == 1
    assert "http" not in text
