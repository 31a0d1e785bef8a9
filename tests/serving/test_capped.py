"""Exports of capped networks in static execution: files that need no package keep the limit."""

import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.layers import tuning
from sact_tf.serving.export import export
from sact_tf.serving.export.onnx_file import export_onnx
from tests.models.networks import make_classifier


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(tuning, "share_for_static_rows", lambda filters, reach: 0.99)
    model = make_classifier("imagenet", "sact")
    model.preprocessing = {"name": "unit", "image_size": 32}
    return sact_tf.set_capacities(model, 0.2)


def pixels():
    return np.random.default_rng(0).integers(0, 256, [2, 32, 32, 3]).astype("float32")


def units(model):
    spent = model.ponder(tf.constant(pixels() / 255))
    return {name: spent[name]["num_units"].numpy() for name in model.block_names}


def test_saved_model(model, tmp_path):
    made = export(model, tmp_path / "1", execution="static")
    assert made["execution"] == "static" and made["largest_difference"] < 1e-5
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    files = [tf.io.encode_png(tf.cast(image, tf.uint8)) for image in pixels()]
    found = loaded.signatures["ponder_map"](image_bytes=tf.stack(files))
    expected = units(model)
    free = units(sact_tf.set_capacities(model, None))
    for name, of_block in expected.items():
        np.testing.assert_array_equal(found[f"{name}_num_units"], of_block)
        assert np.any(free[name] != of_block), "nothing was cut"


def test_onnx(model, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    export_onnx(model, tmp_path / "m.onnx", execution="static", ponder_map=True)
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"images": pixels()}), strict=True))
    for name, of_block in units(model).items():
        np.testing.assert_array_equal(found[f"{name}_num_units"], of_block)
