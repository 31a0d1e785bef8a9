"""`network: keras` and `train.warm_start: keras:...` in runs of classifiers and detectors."""

import types
import urllib.error

import numpy as np
import pytest

from sact_tf.errors import UserError
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import load_config
from sact_tf.training.detection.builders import build_model
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.task import DetectionTask
from sact_tf.training.experiments.matched_baseline.config import matched_config
from tests.models.keras_networks import keras_network
from tests.training import running
from tests.training.detection_running import TINY_DETECTOR

NETWORK = "model.network=keras,model.units_per_block=null,model.units=[2,3],model.base_channels=4"


@pytest.fixture
def weights(tmp_path):
    """A file of a network of 5 classes, and that network."""
    model = keras_network()
    path = tmp_path / "keras_model.keras"
    model.save(path)
    return path, model


def test_a_classifier(prepare, weights, capsys):
    path, model = weights
    run = prepare(NETWORK, f"train.warm_start=keras:{path}")
    blocks = run.model.backbone.blocks
    assert [len(block.units) for block in blocks] == [1, 4]
    strided = blocks[1].units[0]
    theirs = model.get_layer("conv2_block2_2_conv").kernel
    np.testing.assert_array_equal(strided.conv2.kernel, theirs)
    gamma = model.get_layer("post_bn").gamma
    np.testing.assert_array_equal(run.model.postnorm.gamma, gamma)
    out = capsys.readouterr().out
    assert "head/logits: 5 classes there, 10 here" in out
    assert "block2/halting_score_2: halting" in out and "block2/unit" not in out
    run.train(evaluates=False)
    assert np.any(strided.conv2.kernel.numpy() != theirs)


def test_weights_without_top(prepare, tmp_path, capsys):
    model = keras_network(top=False)
    model.save(tmp_path / "notop.keras")
    run = prepare(NETWORK, f"train.warm_start=keras:{tmp_path / 'notop.keras'}")
    gamma = model.get_layer("post_bn").gamma
    np.testing.assert_array_equal(run.model.postnorm.gamma, gamma)
    assert "head/logits: " in capsys.readouterr().out


def test_a_detector(weights, tmp_path):
    path, model = weights
    file = running.write_config(tmp_path, TINY_DETECTOR.format(data_dir=tmp_path))
    config = load_config(
        DetectionConfig, file, ["model.network=keras,model.units=[2,3],model.stem_channels=64"]
    )
    detector = build_model(
        config, types.SimpleNamespace(num_classes=2, class_names=["a", "b"], preprocessing=None)
    )
    uncovered = DetectionTask(config).warm_start(detector, f"keras:{path}")
    assert set(uncovered) == {
        *("rpn/conv", "rpn/scores", "rpn/boxes", "box_head/scores", "box_head/boxes")
    }
    kernel = model.get_layer("conv3_block2_2_conv").kernel
    np.testing.assert_array_equal(detector.box_block.units[2].conv2.kernel, kernel)
    # The Region Proposal Network reads what the strided unit reads: the features before it.
    gamma = model.get_layer("conv2_block2_preact_bn").gamma
    np.testing.assert_array_equal(detector.rpn.preact.gamma, gamma)


def test_frozen_layers_keep_their_weights(prepare):
    run = prepare(NETWORK, "model.frozen=[stem,block1,block2]")
    before = {weight.path: weight.numpy() for weight in run.model.weights}
    run.train(evaluates=False)
    moved = [w.path for w in run.model.weights if np.any(w.numpy() != before[w.path])]
    assert moved and all(path.startswith("head/") for path in moved), moved
    with pytest.raises(UserError, match="model: .*frozen.*'block9'"):
        prepare(NETWORK, "model.frozen=[block9]", name="other")


def test_another_form_is_refused(prepare, weights):
    """The units of both have the same shapes, and compute something else."""
    with pytest.raises(
        UserError, match="train.warm_start=keras:.*another form.*found them in the last"
    ):
        prepare(NETWORK.replace("keras", "imagenet").replace("[2,3]", "[1,1,1,1]"),
                f"train.warm_start=keras:{weights[0]}")  # fmt: skip


def test_errors(weights, tmp_path, monkeypatch):
    task = ClassificationTask(None)
    path = weights[0]
    with pytest.raises(
        UserError, match="warm_start=keras:ResNet50V2:.*expected the weights of Res"
    ):
        task.load_source(f"keras:ResNet50V2:{path}")
    with pytest.raises(
        UserError, match="warm_start=keras:Resnet50: expected ResNet50V2, .*no such"
    ):
        task.load_source("keras:Resnet50")

    def refuse(url, *args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", refuse)
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(UserError, match="keras:ResNet50V2: .*cannot be downloaded"):
        task.load_source("keras:ResNet50V2")


def test_a_matched_baseline_has_stages(tmp_path):
    """A block's first unit may be the last of the stage before: 1.4 and 2.6 units of blocks."""
    text = running.TINY_CONFIG.replace("network: cifar", "network: keras")
    (tmp_path / "config.yaml").write_text(text.replace("units_per_block: 2", "units: [2, 3]"))
    (tmp_path / "metrics.json").write_text('{"num_units": {"block1": 1.4, "block2": 2.6}}')
    assert matched_config(tmp_path).model.units == [2, 2]
