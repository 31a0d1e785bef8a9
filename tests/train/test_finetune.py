"""`train.finetune`: two runs, their configs, what is written, and going on."""

import json
import re
import signal
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.experiments.finetune.config import FinetuneOptions, finetune_configs
from sact_tf.training.experiments.finetune.experiment import run_experiment
from tests.models.keras_networks import keras_network
from tests.training import running
from train import exit_codes

CONFIG = str(running.ROOT / "configs" / "imagenet" / "sact_from_keras.yaml")
STEPS = ("--image_size=40", "--batch_size=4", "--head_steps=2", "--steps=3")


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (48, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def weights(tmp_path):
    keras_network().save(tmp_path / "pretrained.keras")
    return tmp_path / "pretrained.keras"


def options(photos, **changes):
    return FinetuneOptions(
        **{"config": CONFIG, "images": str(photos), "flops_budget": 0.5, **changes}
    )


def test_one_command(photos, weights, tmp_path):
    """The program, and the same command again."""
    run = tmp_path / "run"
    result = running.run(
        "finetune",
        *(f"--images={photos}", f"--weights={weights}", f"--model_dir={run}", *STEPS),
        "--flops_budget=0.99",
        "--params_override=evaluation.pictures=3,train.gradient_accumulation=2",
    )
    assert result.returncode == 0, result.stderr
    metrics = running.read_metrics(run)
    assert metrics["steps"] == 3 and metrics["flops_budget"] == 0.99
    assert metrics["timing"]["one_image"]["milliseconds_per_image"] > 0
    assert running.read_metrics(run / "head")["steps"] == 2
    model = load_classifier(run)
    assert model.halting_kind == "sact" and model.class_names == ["cat", "dog", "owl"]
    assert model.preprocessing == {"name": "imagenet", "image_size": 40}
    assert "gradient_accumulation: 2" in (run / "config.yaml").read_text()
    assert (run / "report.html").exists()
    # The head's run moved the head only; the other one began from there.
    head, pretrained = load_classifier(run / "head"), keras_network()
    kernel = pretrained.get_layer("conv2_block2_2_conv").kernel
    np.testing.assert_array_equal(head.backbone.blocks[1].units[0].conv2.kernel, kernel)
    assert np.any(model.backbone.blocks[1].units[0].conv2.kernel.numpy() != kernel.numpy())
    served = tf.saved_model.load(run / "export" / "3")
    picture = (photos / "cat" / "0.png").read_bytes()
    answer = served.signatures["serving_default"](tf.constant([picture]))
    assert set(np.asarray(answer["classes"])[0]) == {b"cat", b"dog", b"owl"}
    again = run_experiment(
        options(
            photos, weights=str(weights), flops_budget=0.99, image_size=40, batch_size=4,
            head_steps=2, steps=3,
            params_override=("evaluation.pictures=3,train.gradient_accumulation=2",),
        ),
        str(run),
    )  # fmt: skip
    assert again == json.loads((run / "metrics.json").read_text())
    assert [path.name for path in (run / "export").iterdir()] == ["3"]


@pytest.mark.large
def test_without_halting(photos, weights, tmp_path):
    """The fair comparison of docs/photos.md: as many updates of the plain network."""
    metrics = run_experiment(
        options(
            photos, weights=str(weights), image_size=40, batch_size=4, head_steps=1, steps=2,
            params_override=(
                "model.halting=null,model.ponder_weight=null,model.halting_epsilon=null",
                "model.halting_bias=null,train.flops_budget=null,evaluation.pictures=1",
            ),
        ),
        str(tmp_path / "run"),
    )  # fmt: skip
    assert metrics["flops_ratio"] == 1 and metrics["timing"]["one_image"]["execution"] == "plain"
    assert tf.saved_model.contains_saved_model(str(tmp_path / "run" / "export" / "2"))


@pytest.mark.large
def test_sigterm_in_each_stage(photos, weights, tmp_path):
    """The head, all layers, the export: it ends as preempted, and the same command goes on."""
    run = tmp_path / "run"
    command = (
        *(f"--images={photos}", f"--weights={weights}", f"--model_dir={run}"),
        *("--image_size=40", "--batch_size=4", "--head_steps=40", "--steps=40"),
        *("--flops_budget=0.99", "--learning_rate=0.001"),
        "--params_override=evaluation.pictures=1,evaluation.time=false,evaluation.every=null,"
        "train.checkpoint_every=4,train.learning_rate.warmup_steps=0",
    )
    for directory in (run / "head", run):
        error = _terminated(
            command, lambda at=directory: (at / "checkpoints/ckpt-4.index").exists()
        )
        step = int(re.search(r"stopped: SIGTERM after step (\d+), saved as", error)[1])
        assert 4 <= step < 40, error
        assert f"{directory}/checkpoints/ckpt-{step}; the same command goes on" in error
        assert not (directory / "metrics.json").exists()
    error = _terminated(command, lambda: any(run.glob("export/*")))
    assert error.splitlines()[-1] == (
        "stopped: SIGTERM; the same command goes on from what is saved"
    )
    assert not list((run / "export").iterdir())  # not half of one
    metrics = (run / "metrics.json").read_bytes()
    result = running.run("finetune", *command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("  trained before\n") == 1  # The head's run is not even loaded.
    assert (run / "metrics.json").read_bytes() == metrics
    assert (run / "export" / "40" / "saved_model.pb").exists()


def _terminated(command, is_time):
    """Starts the program and sends SIGTERM when it is time; gives what it printed on stderr."""
    process = running.start("finetune", *command)
    while not is_time() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert process.returncode == exit_codes.PREEMPTED, error
    assert "Traceback" not in error
    return error


def test_configs(photos, weights, tmp_path):
    head, config = finetune_configs(options(photos), tmp_path / "head")
    assert head.train.warm_start == "keras:ResNet50V2"
    assert config.train.warm_start == str(tmp_path / "head")
    assert head.model.halting is None and head.train.flops_budget is None
    assert head.model.frozen == ["stem", "block1", "block2", "block3", "block4"]
    assert (config.model.depth, config.model.halting_bias) == (50, -3.0)
    assert config.model.frozen is None and config.train.flops_budget == 0.5
    assert (head.train.steps, config.train.steps) == (100, 600)  # the fewest
    assert config.train.batch_size == 22  # of 24 images two are held out
    head, config = finetune_configs(
        options(
            photos, weights=str(weights), steps=50, head_steps=20, learning_rate=0.03,
            head_learning_rate=0.2, seed=7, image_size=64, validation_fraction=0.3,
            params_override=("model.halting=act,train.weight_decay=0",),
        ),
        tmp_path / "head",
    )  # fmt: skip
    assert head.train.warm_start == f"keras:{weights}"
    for each in (head, config):
        assert each.model.units == [2, 3] and each.model.depth is None
        assert (each.model.base_channels, each.model.stem_channels) == (4, 64)
        assert each.data.preprocessing.image_size == 64 and each.train.seed == 7
        assert each.data.image_folder.validation_fraction == 0.3
    assert config.model.halting == "act" and config.train.weight_decay == 0
    rates = head.train.learning_rate.initial, config.train.learning_rate.initial
    assert rates == (0.2, 0.03)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"weights": "nowhere.h5"}, "--weights=nowhere.h5: .*no such file"),
        ({"images": "nowhere"}, "nowhere.*no such folder"),
        ({"network": "VGG16"}, "--network=VGG16: expected one of ResNet50V2"),
        ({"flops_budget": -1.0}, "flops_budget.*-1"),
        ({"config": str(running.ROOT / "configs/imagenet/resnet50.yaml")}, "model.halting.*null"),
    ],
)
def test_errors(photos, tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        finetune_configs(options(photos, **changes), tmp_path / "head")


def test_a_file_of_another_network(photos, weights, tmp_path):
    with pytest.raises(UserError, match="--weights=.*expected the weights of ResNet101V2"):
        finetune_configs(
            options(photos, weights=str(weights), network="ResNet101V2"), tmp_path / "head"
        )


def test_a_budget_out_of_reach_is_refused_before_training(photos, weights, tmp_path):
    asked = options(photos, weights=str(weights), image_size=40, batch_size=4, flops_budget=0.1)
    with pytest.raises(UserError, match="--flops_budget: .*between 0"):
        run_experiment(asked, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
