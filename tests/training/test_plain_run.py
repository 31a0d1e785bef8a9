"""A run that starts from a trained plain network is compared with it."""

import json
import shutil

import pytest

from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.loading import load_config
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.plain_run import beside_plain_run, read_plain_run
from tests.training import running

_PLAIN = "model.halting=null,model.ponder_weight=null"


@pytest.fixture
def plain(prepare):
    """The directory of a plain run, trained and evaluated."""
    run = prepare(_PLAIN, name="plain")
    run.train(evaluates=False)
    run.evaluate()
    return run.directory.path


def test_accuracy_stands_beside_the_plain_networks(prepare, plain):
    before = running.read_metrics(plain)
    run = prepare(f"train.warm_start={plain}", "train.steps=1")
    run.train(evaluates=False)
    metrics = run.evaluate()
    accuracy = metrics["accuracy"]
    assert running.read_metrics(run.directory.path) == metrics
    assert metrics["plain_run"] == {
        "model_dir": str(plain),
        "steps": 2,
        "accuracy": before["accuracy"],
        "recall@5": before["recall@5"],
        "num_examples": 30,
    }
    words = f"; the plain network trained for 2 steps {before['accuracy']:.4f}"
    error = f"standard error {(accuracy * (1 - accuracy) / 30) ** 0.5:.4f}"
    line = next(run.task.summary(metrics))
    assert (
        line == f"accuracy                 {metrics['accuracy']:.4f} of 30 images, {error}{words}"
    )
    assert f"top-1{words}" in run.directory.report.read_text()


def test_nothing_but_a_finished_run_of_the_same_network_is_compared(prepare, plain, tmp_path):
    def compared(source, *overrides):
        overrides = (f"train.warm_start={source}", *overrides)
        config = load_config(ClassificationConfig, running.write_config(tmp_path), overrides)
        return read_plain_run(config)

    assert compared(plain)["plain_run"]["steps"] == 2
    assert compared(plain / "checkpoints" / "ckpt-2") == compared(plain)
    for override in (
        "train.warm_start=null",
        "model.units_per_block=1",
        "model.base_channels=6",
        "data.cluttered_digits.num_validation=31",
        _PLAIN,
    ):
        assert compared(plain, override) == {}, override
    assert compared(shutil.copy(plain / "model.keras", tmp_path / "alone.keras")) == {}
    longer = prepare(_PLAIN, "train.steps=3", name="plain")
    longer.train(evaluates=False)
    assert compared(plain) == {}  # Trained on, and not evaluated yet.


def test_augmentation_makes_no_other_data(tmp_path):
    def load(*overrides):
        data = "data={source: tfds, cluttered_digits: null, tfds: {name: x}}"
        overrides = (data, "data.preprocessing={name: cifar, image_size: 32}", *overrides)
        return load_config(ClassificationConfig, running.write_config(tmp_path), overrides)

    plain = RunDirectory(tmp_path / "plain")
    plain.save(load(_PLAIN, "data.preprocessing.padding=4,data.preprocessing.cutout=8"))
    metrics = {"steps": running.STEPS, "accuracy": 0.5, "num_examples": 9}
    plain.metrics.write_text(json.dumps(metrics), encoding="utf-8")
    start = f"train.warm_start={plain.path}"
    assert read_plain_run(load(start))["plain_run"]["accuracy"] == 0.5
    assert read_plain_run(load(start, "data.preprocessing.image_size=24")) == {}


def test_a_pretrained_network_is_said_to_be_one():
    plain = {"steps": 1500, "warm_start": "keras:ResNet50V2", "accuracy": 0.5}
    words = "; the plain network trained for 1,500 steps from keras:ResNet50V2 0.5000"
    assert beside_plain_run({"plain_run": plain}, "accuracy") == words


def test_what_a_plain_run_started_from_is_kept(prepare, plain, tmp_path):
    started = prepare(_PLAIN, f"train.warm_start={plain}", "train.steps=1", name="started")
    started.train(evaluates=False)
    started.evaluate()
    directory = started.directory.path
    overrides = (f"train.warm_start={directory}",)
    config = load_config(ClassificationConfig, running.write_config(tmp_path), overrides)
    assert read_plain_run(config)["plain_run"]["warm_start"] == str(plain)
