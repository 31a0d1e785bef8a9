"""The plain network that matches a SACT run: units, config, and its training."""

import json
import shutil

import numpy as np
import pytest

from sact_tf.errors import UserError
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.config.loading import override_config
from sact_tf.training.experiments.matched_baseline.config import matched_config, matched_units
from sact_tf.training.experiments.matched_baseline.experiment import units_text
from tests.training import running


@pytest.fixture
def source(finished_run, tmp_path):
    """A SACT run whose mean units per block are 1.2, 1.5 and 0.4."""
    directory = tmp_path / "source"
    shutil.copytree(finished_run, directory)
    metrics = running.read_metrics(directory)
    metrics["num_units"] = {"block1": 1.2, "block2": 1.5, "block3": 0.4}
    (directory / "metrics.json").write_text(json.dumps(metrics))
    return directory


def test_the_program_trains_the_rounded_units_from_the_sources_first_ones(source, tmp_path):
    result = running.run(
        "matched_baseline",
        f"--source={source}",
        f"--model_dir={tmp_path / 'run'}",
        # One step that changes no weight: what is saved is what training started from.
        "--params_override=train.steps=1,train.learning_rate.initial=1e-30,train.weight_decay=0",
    )
    assert result.returncode == 0, result.stderr
    assert "units per block: 1, 2, 1" in result.stdout
    metrics = running.read_metrics(tmp_path / "run")
    assert metrics["num_units"] == {"block1": 1, "block2": 2, "block3": 1}
    assert metrics["halting"] is None and metrics["flops_std"] == 0
    share = metrics["flops_mean"] / running.read_metrics(source)["flops_mean"]
    assert f"FLOPs per image, {share:.2f} of the source's" in result.stdout
    plain, full = load_classifier(tmp_path / "run"), load_classifier(source)
    assert metrics["flops_mean"] == plain.plain_flops(16, 16) < full.plain_flops(16, 16)
    for block, full_block in zip(plain.backbone.blocks, full.backbone.blocks, strict=True):
        for unit, full_unit in zip(block.units, full_block.units, strict=False):
            np.testing.assert_array_equal(unit.conv1.kernel, full_unit.conv1.kernel)
    np.testing.assert_array_equal(plain.logits.kernel, full.logits.kernel)


def test_config_starts_from_the_plain_network_that_the_source_started_from(source):
    config = matched_config(source)
    assert config.train.warm_start == str(source)
    path = source / "config.yaml"
    text = path.read_text().replace("warm_start: null", "warm_start: some/plain/run")
    path.write_text(text.replace("flops_budget: null", "flops_budget: 0.6"))
    config = matched_config(source)
    assert config.train.warm_start == "some/plain/run"
    assert config.train.flops_budget is None and config.train.steps == running.STEPS
    config.resolve()


def test_units_of_the_imagenet_network(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "model: {network: imagenet, depth: 101, halting: act}\n"
        "train: {learning_rate: {initial: 0.1}, warm_start: plain}\n"
    )
    units = {"block1": 2.9, "block2": 3.5, "block3": 11.49, "block4": 1.0}
    (tmp_path / "metrics.json").write_text(json.dumps({"num_units": units}))
    config = matched_config(tmp_path)
    assert (config.model.depth, config.model.units) == (None, [3, 4, 11, 1])
    config.resolve()
    assert units_text(config) == "units per block: 3, 4, 11, 1"
    config.model.network = "keras"
    assert units_text(config) == "units per stage: 3, 4, 11, 1"


def test_an_override_may_say_the_units_in_any_form(source):
    assert units_text(matched_config(source)) == "units per block: 1, 2, 1"
    one = override_config(matched_config(source), ["model.units_per_block=2"])
    assert units_text(one) == "units per block: 2"
    overrides = ["model.network=imagenet,model.units_per_block=null,model.depth=50"]
    assert units_text(override_config(matched_config(source), overrides)) == "depth 50"


def test_mistakes_are_named(source, tmp_path):
    with pytest.raises(UserError, match="found no config.yaml there"):
        matched_config(tmp_path)
    (source / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="metrics.json: expected the mean units per block"):
        matched_units(source)
    path = source / "config.yaml"
    (source / "metrics.json").unlink()
    with pytest.raises(UserError, match="has not finished"):
        matched_config(source)
    path.write_text(
        "model: {network: cifar, units_per_block: 2}\ntrain: {learning_rate: {initial: 1.0}}\n"
    )
    with pytest.raises(UserError, match="no halting, so there is nothing to match"):
        matched_config(source)
