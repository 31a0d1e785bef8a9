"""Which model a path means."""

import shutil

import keras
import numpy as np
import pytest

import sact_tf
from sact_tf.errors import UserError
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.detection.loading import load_detector


def _weights(model):
    return [weight.numpy() for weight in model.weights]


def test_run_keras_file_and_checkpoint_are_the_same_model(finished_run, tmp_path):
    unfinished = shutil.copytree(finished_run, tmp_path / "run")
    (unfinished / "model.keras").unlink()
    whole = keras.models.load_model(finished_run / "model.keras")
    expected = _weights(whole)
    for path in (
        finished_run,
        finished_run / "model.keras",
        finished_run / "checkpoints" / "ckpt-12",
        unfinished,
    ):
        model = load_classifier(path)
        assert model.preprocessing == whole.preprocessing is not None
        for ours, theirs in zip(_weights(model), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_current_directory_is_a_run_and_nothing_is_none(finished_run, monkeypatch):
    monkeypatch.chdir(finished_run)
    assert load_classifier(".").num_classes == 10
    with pytest.raises(UserError, match="expected a path, received an empty text"):
        load_classifier("")


def test_a_checkpoint_of_the_authors_program_loads(golden):
    model = load_classifier(golden / "tf1_checkpoint_imagenet_sact")
    assert model.backbone.get_config()["halting"] == "sact"


def _cut(path):
    path.write_bytes(path.read_bytes()[:-400])
    return path


def _data_file(run):
    return next(run.glob("checkpoints/ckpt-12.data*"))


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (lambda run: _cut(run / "model.keras"), "model.keras", "expected a .keras file"),
        (lambda run: _cut(_data_file(run)), "checkpoints/ckpt-12", "cannot be loaded"),
        (lambda run: (run / "a.txt").write_text("x"), "a.txt", "expected a .keras file"),
        (lambda run: None, "nothing", "no such file"),
        (lambda run: (run / "empty").mkdir(), "empty", "empty"),
    ],
)
def test_what_is_no_model_is_named(finished_run, tmp_path, damage, name, message):
    run = shutil.copytree(finished_run, tmp_path / "run")
    damage(run)
    with pytest.raises(UserError) as raised:
        load_classifier(run / name)
    assert name in str(raised.value) and message in str(raised.value)


def test_another_kind_of_model_is_refused(tmp_path):
    keras.Sequential([keras.Input([2]), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    with pytest.raises(UserError, match="expected an ImageClassifier, found a Sequential"):
        load_classifier(tmp_path / "m.keras")
    backbone = sact_tf.models.ResNetBackbone.cifar(1, base_channels=4)
    backbone.save(tmp_path / "b.keras")
    with pytest.raises(UserError, match="found a ResNetBackbone"):
        load_classifier(tmp_path / "b.keras")
    with pytest.raises(UserError, match="b.keras: expected a FasterRCNN, found a ResNetBackbone"):
        load_detector(tmp_path / "b.keras")


@pytest.mark.parametrize("load", [load_classifier, load_detector])
def test_a_run_without_a_checkpoint_is_named(tmp_path, load):
    (tmp_path / "config.yaml").write_text("model: {detector: {}}")
    with pytest.raises(UserError, match=f"{tmp_path}: the run has neither a model.keras nor a"):
        load(tmp_path)
