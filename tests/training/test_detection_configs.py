"""Every config of detectors is valid and builds; wrong ones fail with a line that helps."""

import pathlib
import types

import pytest

from sact_tf.errors import UserError
from sact_tf.training.config.loading import dump_config, load_config
from sact_tf.training.detection import builders
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.experiments.detection_table import config as detection_table_config

ROOT = pathlib.Path(__file__).parents[2] / "configs" / "coco"
FILES = sorted(path for path in ROOT.glob("*.yaml") if not path.name.startswith("table"))
TABLES = sorted(ROOT.glob("table*.yaml"))


def load(path=None, *overrides):
    return load_config(DetectionConfig, path, overrides)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_is_valid_builds_and_survives_its_own_resolved_form(path, tmp_path):
    config = load(path, "model.base_channels=4,model.stem_channels=4")
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_config(config))
    assert load(resolved).as_dict() == config.as_dict()
    head = path.read_text().split("\nmodel:")[0]
    assert f"--config=configs/coco/{path.name}" in head and "Cost" in head
    data = types.SimpleNamespace(
        num_classes=3, class_names=["a", "b", "c"], preprocessing={"name": "unit"}
    )
    model = builders.build_model(config, data)
    built = model.get_config()
    for key, value in config.model.detector.as_dict().items():
        assert built[key] == value, key
    assert built["freeze_batch_norm"] == config.train.freeze_batch_norm
    assert built["num_classes"] == 3 and built["class_names"] == ["a", "b", "c"]
    assert model.backbone.get_config()["halting"] == config.model.halting


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_is_valid(path):
    config = load_config(detection_table_config.DetectionTableConfig, path, ())
    names = [planned.name for planned in detection_table_config.planned_detectors(config)]
    assert names[:2] == ["plain_deep", "plain_shallow"] and len(names) >= 4
    for planned in detection_table_config.planned_detectors(config):
        run = detection_table_config.detector_config(config, planned, "deep")
        assert run.model.halting == planned.halting
        assert run.train.warm_start == (None if planned.halting is None else "deep")


def test_paper_settings():
    config = load(ROOT / "sact_tau005.yaml")
    assert config.model.depth == 101 and config.model.ponder_weight == 0.005
    assert (config.data.preprocessing.short_side, config.data.preprocessing.long_side) == (
        600,
        1024,
    )
    assert config.train.learning_rate.values[0] == 3e-4 and config.train.momentum == 0.9
    assert config.train.learning_rate.boundaries == [900_000, 1_200_000]
    detector = config.model.detector
    assert len(detector.anchor_sizes) * len(detector.aspect_ratios) == 12
    assert detector.num_proposals == 300 and detector.crop_size == 14
    assert load(ROOT / "sact_tau001.yaml").model.ponder_weight == 0.001


_VALID = "model.units=[1,1,1],train.learning_rate.initial=0.1"
WRONG = {
    "model.units=[3]": "model.units: a detector needs two blocks or more",
    "model.detector.feature_block=block3": "expected one of block1, block2",
    "model.detector.adaptive_box_head=true": "needs halting",
    "model.detector.anchor_sizes=[]": "model.detector.anchor_sizes: expected at least one",
    "model.detector.anchor_sise=[1]": "model.detector.anchor_sise: unknown key",
    "model.detector.crop_size=0": "model.detector.crop_size: expected an int >= 1",
    "train.label_smoothing=0.1": "train.label_smoothing: expected 0 for detectors",
    "train.flops_budget=0.5": "train.flops_budget: must be null for detectors",
    "data.flip=true": "data.flip: expected false with source: digit_scenes",
    "data.skip_corrupt=true": "data.skip_corrupt: expected false",
    "data.preprocessing.short_side=3": "data.preprocessing: must be null",
    "data.source=coco": "data.coco.train_annotations: source: coco needs it",
    "data={source: coco, coco: {train_annotations: a, train_images: b,"
    " validation_annotations: c}}": "data.coco.validation_images: source: coco needs it",
    "data={source: tfds, coco: {train_images: x}}": "data.coco: must be null with source: tfds",
    "train.gradient_clip_norm=0": "train.gradient_clip_norm: expected a number > 0",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_override_names_flag_and_key(override):
    with pytest.raises(UserError) as raised:
        load(None, _VALID, override)
    assert WRONG[override] in str(raised.value)


def test_defaults():
    config = load(None, _VALID)
    assert config.model.detector.feature_block == "block2"
    assert config.data.digit_scenes.num_validation >= 200 and config.data.flip is False
    coco = load(None, _VALID, "data.source=tfds")
    assert coco.data.tfds.name == "coco/2017" and coco.data.flip is True
    assert coco.data.preprocessing.short_side == 600
