"""Models as ONNX files: what ONNX Runtime makes of them, and what an export refuses."""

import json

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.data.preprocessing import pixel_scaling_function
from sact_tf.errors import UserError
from sact_tf.serving.export import network, onnx_file
from sact_tf.serving.export.onnx_file import export_onnx
from tests.harness import run_python
from tests.serving.models import CLASS_NAMES, make_model

onnxruntime = pytest.importorskip("onnxruntime")

_ANSWER = {"classes", "labels", "scores", "logits"}
_SPENT = {"flops", "plain_flops", "ponder_cost_map"}
_BLOCKS = {f"block{b}_{key}" for b in (1, 2) for key in ("num_units", "ponder_cost")}


def _pictures(batch, height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, [batch, height, width, 3]).astype(np.float32)


def _session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _check(model, session, pictures):
    """Compares all that the file says with the model; returns each block's units."""
    names = [output.name for output in session.get_outputs()]
    assert set(names) == _ANSWER | _SPENT | _BLOCKS
    received = dict(zip(names, session.run(None, {"images": pictures}), strict=True))
    scaled = pixel_scaling_function(model.preprocessing)(pictures)
    expected = model.ponder(scaled)
    np.testing.assert_allclose(received["logits"], expected["logits"], atol=2e-5)
    chances = tf.nn.softmax(expected["logits"]).numpy()
    np.testing.assert_allclose(received["scores"], -np.sort(-chances), atol=2e-5)
    np.testing.assert_array_equal(received["labels"], np.argsort(-chances))
    assert received["classes"].tolist() == [
        [CLASS_NAMES[label] for label in row] for row in received["labels"]
    ]
    np.testing.assert_array_equal(received["flops"], expected["flops"])
    plain = model.plain_flops(*pictures.shape[1:3])
    np.testing.assert_array_equal(received["plain_flops"], [plain] * len(pictures))
    np.testing.assert_allclose(received["ponder_cost_map"], expected["ponder_cost_map"], atol=1e-4)
    for block in ("block1", "block2"):
        units = np.asarray(expected[block]["num_units"])
        np.testing.assert_array_equal(received[f"{block}_num_units"], units)
        cost = expected[block]["ponder_cost"]
        np.testing.assert_allclose(received[f"{block}_ponder_cost"], cost, atol=1e-4)
    return [np.unique(received[f"block{b}_num_units"]).tolist() for b in (1, 2)]


@pytest.mark.parametrize(
    ("net", "halting", "execution", "tile_size"),
    [
        ("imagenet", "sact", "tiled", 1),
        ("imagenet", "act", "tiled", 1),
        ("cifar", "sact", "masked", 3),
        ("cifar", "sact", "auto", 1),
        ("cifar", "sact", "tiled", 8),  # in windows
        ("cifar", None, "masked", 1),
    ],
)
def test_onnx_runtime_computes_the_same(net, halting, execution, tile_size, tmp_path):
    bias = -0.5 if net == "imagenet" else -2.0
    model = make_model(net, halting, tile_size=tile_size, units=(1, 3), halting_bias=bias)
    path = tmp_path / "model.onnx"
    made = export_onnx(model, path, execution=execution, ponder_map=True)
    assert made["execution"] == execution and made["largest_difference"] < 1e-5
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    session = _session(path)
    found = [
        _check(model, session, _pictures(*shape)) for shape in ((1, 33, 41), (3, 32, 20), (2, 9, 7))
    ]
    if halting == "sact":
        assert max(len(units) for units in found[0]) > 1  # positions halt at different units
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == CLASS_NAMES
    about = json.loads(metadata["sact_tf"])
    assert about["preprocessing"] == {"name": "scale"} and about["folded_batch_norms"] > 0
    assert {"sact_tf", "tensorflow", "tf2onnx", "onnxruntime"} <= set(about["versions"])


@pytest.mark.parametrize(
    ("halting", "bias", "units"),
    [("sact", 30.0, [[1], [1]]), ("sact", -30.0, [[1], [3]]), ("act", 30.0, [[1], [1]])],
)
def test_nothing_and_everything_active(halting, bias, units, tmp_path):
    model = make_model("imagenet", halting, halting_bias=bias, units=(1, 3))
    export_onnx(model, tmp_path / "model.onnx", execution="tiled", ponder_map=True)
    session = _session(tmp_path / "model.onnx")
    assert _check(model, session, _pictures(2, 33, 20)) == units


def test_the_answer_alone(tmp_path):
    model = make_model("imagenet", preprocessing={"name": "cifar", "image_size": 24}, units=(1, 2))
    path = tmp_path / "model.onnx"
    made = export_onnx(model, path, top=2)
    assert made["input_size"] == [24, 24] and made["execution"] == "masked"
    session = _session(path)
    assert {output.name for output in session.get_outputs()} == _ANSWER
    pictures = _pictures(2, 24, 24)
    classes, logits = session.run(["classes", "logits"], {"images": pictures})
    assert classes.shape == (2, 2)
    standard = tf.image.per_image_standardization(pictures)
    np.testing.assert_allclose(logits, model(standard), atol=2e-5)


def test_what_is_wrong_is_not_written(tmp_path, monkeypatch):
    def wrong_copy(*arguments):
        copy, count = folded_copy(*arguments)
        copy.head.weights[0].assign_add(0.1 * copy.head.weights[0])
        return copy, count

    folded_copy = network.folded_copy
    monkeypatch.setattr(network, "folded_copy", wrong_copy)
    with pytest.raises(RuntimeError, match="differs from the one in memory"):
        export_onnx(make_model("imagenet", None, units=(1, 1)), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_refused_before_anything_is_written(tmp_path):
    model = make_model("imagenet", None, units=(1, 1))
    (tmp_path / "there.onnx").write_text("mine")
    for name, message in [
        ("model.tflite", "model.tflite: expected a file name that ends in .onnx"),
        ("there.onnx", "there.onnx: exists"),
    ]:
        with pytest.raises(UserError, match=message):
            export_onnx(model, tmp_path / name)
    with pytest.raises(UserError, match="top to be positive"):
        export_onnx(model, tmp_path / "model.onnx", top=0)
    assert (tmp_path / "there.onnx").read_text() == "mine"


@pytest.mark.parametrize("missing", onnx_file._PACKAGES)
def test_without_the_extra(missing, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(UserError, match=rf"{missing}.*: pip install 'sact_tf\[onnx\]'"):
        export_onnx(make_model("imagenet", None, units=(1, 1)), tmp_path / "model.onnx")


def test_low_precision_is_written_as_float32(tmp_path):
    model = make_model("imagenet", "sact", units=(1, 2), dtype="mixed_bfloat16")
    export_onnx(model, tmp_path / "model.onnx", execution="tiled")
    session = _session(tmp_path / "model.onnx")
    [logits] = session.run(["logits"], {"images": _pictures(1, 24, 24)})
    assert logits.dtype == np.float32 and np.isfinite(logits).all()


_RUN = """
import sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
classes, = session.run(["classes"], {"images": np.full([1, 20, 30, 3], 80, np.float32)})
print(classes[0, 0])
"""


def test_in_a_process_without_tensorflow(tmp_path):
    path = tmp_path / "model.onnx"
    export_onnx(make_model("imagenet", None, units=(1, 1)), path)
    printed = run_python(_RUN, path, blocked=["tensorflow", "keras", "sact_tf"])
    assert printed.strip() in CLASS_NAMES
