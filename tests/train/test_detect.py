"""Detections on one's own images."""

import json

import numpy as np
import pytest
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.training.images.detect import detect
from tests.data.picture_files import write_picture
from tests.training import running


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A detector that was not trained; finding something is not the point here."""
    from sact_tf.detection import FasterRCNN
    from sact_tf.models import ResNetBackbone

    backbone = ResNetBackbone(
        units=(2, 1, 1), base_channels=4, stem_channels=4, halting="sact", halting_bias=0.0
    )
    detector = FasterRCNN(
        backbone, 3, class_names=["cat", "dog", "owl"],
        preprocessing={"name": "unit", "short_side": 48, "long_side": 90},
        anchor_sizes=(16, 32), rpn_channels=4, num_proposals=8, crop_size=4, max_detections=5,
        score_threshold=0.0,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "detector.keras"
    detector.save(path)
    return path


def test_pictures_and_boxes_of_any_image(model, tmp_path):
    write_picture(tmp_path / "in" / "a b.jpg", 60, 100)
    write_picture(tmp_path / "in" / "small.png", 20, 12, seed=1)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    result = running.run(
        "detect", f"--model={model}", f"--images={tmp_path / 'in'}", f"--output_dir={out}",
        "--min_score=0",
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert "broken.jpg" in result.stderr and "1 of 3 files skipped" in result.stderr
    content = json.loads((out / "detections.json").read_text())
    first, second = content["images"]
    assert first["size"] == [60, 100] and first["input_size"] == [48, 80]
    assert second["size"] == [20, 12] and second["input_size"] == [80, 48]
    for entry in content["images"]:
        assert 1 <= len(entry["detections"]) <= 5
        for found in entry["detections"]:
            top, left, bottom, right = found["box"]
            assert 0 <= top < bottom <= entry["size"][0]
            assert 0 <= left < right <= entry["size"][1]
            assert found["class"] == ["cat", "dog", "owl"][found["label"]]
        assert 0 < entry["flops_ratio"] <= 1.2
        for name in (entry["picture"], entry["overlay"]):
            with Image.open(out / name) as picture:
                assert np.asarray(picture).std() > 0
        assert entry["picture"] in (out / "index.html").read_text()
    assert list(content["skipped"]) == [str(tmp_path / "in" / "broken.jpg")]


def test_other_models_are_refused(tmp_path):
    (tmp_path / "x.keras").write_text("no model")
    write_picture(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="x.keras"):
        detect(tmp_path / "x.keras", str(tmp_path / "a.jpg"), tmp_path / "out")
