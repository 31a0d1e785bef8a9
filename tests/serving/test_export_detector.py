"""An exported detector against the model in memory."""

import json

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.data.preprocessing import pixel_scaling_function
from sact_tf.detection import FasterRCNN
from sact_tf.detection.preprocessing import preprocessing_function
from sact_tf.models import ResNetBackbone
from sact_tf.serving.export import export
from sact_tf.serving.export.onnx_file import export_onnx
from tests.harness import randomize, run_python
from tests.serving.models import encode, pixels

PREPROCESSING = {"name": "scale", "short_side": 64, "long_side": 96}
NAMES = ["cat", "dog", "owl"]

_SERVE = """
import pathlib, sys
import numpy as np, tensorflow as tf
folder = pathlib.Path(sys.argv[1])
signatures = tf.saved_model.load(str(folder / "1")).signatures
encoded = tf.constant([path.read_bytes() for path in sorted(folder.glob("*.png"))])
for name in ("serving_default", "ponder_map"):
    outputs = signatures[name](image_bytes=encoded)
    np.savez(folder / name, **{key: value.numpy().astype("U" if value.dtype == tf.string else
             value.dtype.as_numpy_dtype) for key, value in outputs.items()})
"""


@pytest.fixture(scope="module")
def detector():
    backbone = ResNetBackbone(
        (1, 2, 1), base_channels=4, stem_channels=4, unit="basic", halting="sact", halting_bias=-1.0
    )
    model = FasterRCNN(
        backbone,
        3,
        class_names=NAMES,
        preprocessing=PREPROCESSING,
        anchor_sizes=(16, 32),
        rpn_channels=16,
        num_proposals=24,
        crop_size=7,
        max_detections=10,
    )
    return randomize(model)


def test_in_a_process_without_sact_tf_and_keras(detector, tmp_path):
    made = export(detector, tmp_path / "1", execution="tiled")
    assert made["kind"] == "detector" and made["execution"] == "tiled"
    assert made["folded_batch_norms"] > 0 and made["input_size"] is None
    description = (tmp_path / "1" / "assets.extra" / "sact_tf.json").read_text()
    assert json.loads(description)["preprocessing"] == PREPROCESSING
    pictures = [pixels(50, 40, 1), pixels(33, 70, 2)]
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(encode(picture))
    run_python(_SERVE, tmp_path, blocked=["keras", "tf_keras", "sact_tf", "official"])
    served = dict(np.load(tmp_path / "serving_default.npz"))
    mapped = dict(np.load(tmp_path / "ponder_map.npz"))
    answer = {"boxes", "classes", "labels", "scores", "num_detections"}
    blocks = {f"block{b}_{key}" for b in (1, 2) for key in ("num_units", "ponder_cost")}
    spent = {"flops", "plain_flops", "ponder_cost_map", "image_size"}
    assert set(served) == answer and set(mapped) == answer | spent | blocks
    for index, picture in enumerate(pictures):
        image, scale = preprocessing_function(PREPROCESSING)(tf.constant(picture))
        wanted = detector.forward(image[None])
        number = int(wanted["num_detections"][0])
        assert number > 0 and served["num_detections"][index] == number
        np.testing.assert_allclose(served["scores"][index], wanted["scores"][0], atol=1e-4)
        np.testing.assert_array_equal(served["labels"][index], wanted["classes"][0])
        names = [NAMES[label] for label in served["labels"][index][:number]]
        assert list(served["classes"][index]) == names + [""] * (10 - number)
        # In pixels of the picture that was sent.
        boxes = wanted["boxes"][0] / tf.concat([scale, scale], axis=0)
        np.testing.assert_allclose(served["boxes"][index], boxes, atol=0.02)
        assert served["boxes"][index][:number, 2].max() <= picture.shape[0] + 0.01
        assert mapped["flops"][index] == wanted["flops"][0]
        size = image.shape[:2]
        assert mapped["plain_flops"][index] == detector.plain_flops(*size)
        cost = mapped["ponder_cost_map"][index][: size[0], : size[1]]
        np.testing.assert_allclose(cost, wanted["ponder_cost_map"][0], atol=1e-3)


def test_onnx_runtime_finds_the_same(detector, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "detector.onnx"
    made = export_onnx(detector, path, execution="tiled", ponder_map=True)
    assert made["kind"] == "detector" and made["folded_batch_norms"] > 0
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for batch in (1, 2):
        pictures = np.stack([pixels(50, 67, seed) for seed in range(batch)]).astype(np.float32)
        wanted = detector.forward(pixel_scaling_function({"name": "scale"})(pictures))
        found = dict(zip(names, session.run(None, {"images": pictures}), strict=True))
        assert min(found["num_detections"]) > 0
        np.testing.assert_array_equal(found["num_detections"], wanted["num_detections"])
        np.testing.assert_array_equal(found["labels"], wanted["classes"])
        np.testing.assert_allclose(found["scores"], wanted["scores"], atol=1e-4)
        np.testing.assert_allclose(found["boxes"], wanted["boxes"], atol=0.02)
        np.testing.assert_array_equal(found["flops"], wanted["flops"])
        np.testing.assert_allclose(found["ponder_cost_map"], wanted["ponder_cost_map"], atol=1e-3)
        for labels, classes in zip(found["labels"], found["classes"], strict=True):
            assert classes.tolist() == [NAMES[label] if label >= 0 else "" for label in labels]
