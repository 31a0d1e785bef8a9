"""The training program as a real process: what it writes, and what stops and starts do to it."""

import importlib.util
import json
import re
import shlex
import shutil
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.loop.train_and_evaluate import train_and_evaluate
from sact_tf.training.run_directory.directory import RunDirectory
from tests.training import running
from tests.training.comparing import assert_same_bits, checkpoint_values, weights_of


def test_run_leaves_everything_behind(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert names == {
        "checkpoints", "config.yaml", "data.json", "events", "history.jsonl", "lock",
        "metrics.json", "model.keras", "pictures", "report.html", "stdout.txt",
    }  # fmt: skip
    kept = {path.stem for path in (finished_run / "checkpoints").glob("*.index")}
    assert kept == {"ckpt-8", "ckpt-12"}


def test_progress_lines_have_the_parts_of_the_loss(finished_run):
    lines = [
        line
        for line in (finished_run / "stdout.txt").read_text().splitlines()
        if re.match(r"step +\d+/12  ", line)
    ]
    assert len(lines) == 6
    for line in lines:
        numbers = dict(re.findall(r"(\w+) (\d[\d.e-]*)", line))
        parts = [float(numbers[p]) for p in ("cross_entropy", "ponder_loss", "weight_decay")]
        assert float(numbers["loss"]) == pytest.approx(sum(parts), rel=2e-3)
        assert float(numbers["ponder_loss"]) > 0
        assert "steps/s" in line and "ETA" in line


def test_it_ends_with_commands_that_exist(finished_run):
    lines = (finished_run / "stdout.txt").read_text().splitlines()
    commands = lines[lines.index("next:") + 1 :]
    assert len(commands) == 3
    for command in commands:
        program, model, *_ = shlex.split(command)[2:]
        assert importlib.util.find_spec(program)
        assert model == f"--model={finished_run}"


def test_metrics(finished_run):
    metrics = running.read_metrics(finished_run)
    assert metrics["num_examples"] == 30 and metrics["steps"] == 12
    assert 0 <= metrics["accuracy"] <= metrics["recall@5"] <= 1
    assert metrics["flops_ratio"] == pytest.approx(metrics["flops_mean"] / metrics["plain_flops"])
    assert 0.3 < metrics["flops_ratio"] < 1.1 and metrics["flops_std"] >= 0
    assert (
        set(metrics["num_units"]) == set(metrics["ponder_cost"]) == {"block1", "block2", "block3"}
    )
    for block, units in metrics["num_units"].items():
        assert 1 <= units <= 2 and units < metrics["ponder_cost"][block] <= units + 1
        assert metrics["unit_usage"][block][0] == 1.0
        assert sum(metrics["unit_usage"][block]) == pytest.approx(units)
    assert 0 < metrics["ponder_localization_auc"] < 1
    assert metrics["train_seconds"] > 0
    model = load_classifier(finished_run)
    assert metrics["parameters"] == sum(w.numpy().size for w in model.trainable_variables)
    assert model.class_names == [str(digit) for digit in range(10)]
    assert model.preprocessing["image_size"] == 16


def test_metrics_are_those_of_the_saved_model(finished_run):
    """The same numbers, computed apart from the program."""
    from sact_tf.data.cluttered_digits import ClutteredDigits

    data = ClutteredDigits(16, 8, 2, 4, num_train=40, num_validation=30)
    (batch,) = data.evaluation(30)
    model = load_classifier(finished_run)
    outputs = model.ponder(batch["image"])
    metrics = running.read_metrics(finished_run)
    correct = np.argmax(outputs["logits"], axis=-1) == batch["label"].numpy()
    assert metrics["accuracy"] == pytest.approx(correct.mean())
    flops = outputs["flops"].numpy().astype(np.float64)
    assert metrics["flops_mean"] == pytest.approx(flops.mean(), rel=1e-6)
    assert metrics["flops_std"] == pytest.approx(flops.std(), rel=1e-6)
    for block in ("block1", "block2", "block3"):
        for key in ("num_units", "ponder_cost"):
            mean = outputs[block][key].numpy().mean()
            assert metrics[key][block] == pytest.approx(mean, rel=1e-5)
    losses = keras.losses.sparse_categorical_crossentropy(
        batch["label"], outputs["logits"], from_logits=True
    )
    assert metrics["cross_entropy"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_tensorboard_events(finished_run):
    tags = {}
    for kind in ("train", "validation"):
        (file,) = (finished_run / "events" / kind).glob("events*")
        events = tf.compat.v1.train.summary_iterator(str(file))
        tags[kind] = {value.tag for event in events for value in event.summary.value}
    blocks = [f"{key}/block{i}" for key in ("num_units", "ponder_cost") for i in (1, 2, 3)]
    losses = ["loss", "cross_entropy", "ponder_loss", "weight_decay"]
    assert tags["train"] >= {*losses, *blocks, "accuracy", "learning_rate", "flops_ratio"}
    assert tags["validation"] >= {
        *blocks, "accuracy", "flops_mean", "flops_std", "image_and_ponder_cost",
    }  # fmt: skip


def test_killed_run_goes_on_to_the_same_weights_bit_for_bit(finished_run, tmp_path):
    config = finished_run.parent / "tiny.yaml"
    run_directory = tmp_path / "run"
    arguments = (f"--config={config}", f"--model_dir={run_directory}")
    process = running.start("imagenet", *arguments)
    checkpoint = run_directory / "checkpoints" / "checkpoint"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (run_directory / "model.keras").exists()
    records = [json.loads(line) for line in (run_directory / "history.jsonl").open()]
    assert 4 <= max(record["step"] for record in records) < 12

    result = running.run("imagenet", *arguments)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^restored .*ckpt-(4|8)$", result.stdout, re.MULTILINE)
    assert_same_bits(weights_of(run_directory), weights_of(finished_run))
    assert_same_bits(checkpoint_values(run_directory, 12), checkpoint_values(finished_run, 12))
    # Moving statistics and momentum are among what was compared.
    keys = checkpoint_values(run_directory, 12).keys()
    assert any("moving_mean" in key for key in keys) and any("momentum" in key for key in keys)
    assert (run_directory / "history.jsonl").read_text() == (
        finished_run / "history.jsonl"
    ).read_text()


def test_eval_mode_gives_the_same_metrics_from_the_checkpoint(finished_run, tmp_path):
    copy = RunDirectory(shutil.copytree(finished_run, tmp_path / "run"))
    for file in (copy.metrics, copy.report, copy.model):
        file.unlink()
    task = ClassificationTask(copy.read_config(ClassificationConfig, None, ()))
    assert train_and_evaluate(task, copy, "eval") == running.read_metrics(finished_run)
    assert running.read_metrics(copy.path) == running.read_metrics(finished_run)
    assert copy.report.exists()
    assert copy.history.read_text() == (finished_run / "history.jsonl").read_text()


def test_divergence_stops_with_the_step_and_the_last_good_checkpoint(tmp_path):
    config = running.write_config(tmp_path)
    schedule = (
        "{schedule: piecewise_constant, initial: null, boundaries: [5], values: [0.01, 1e38]}"
    )
    result = running.run(
        "imagenet",
        f"--config={config}",
        f"--model_dir={tmp_path / 'run'}",
        f"--params_override=train.learning_rate={schedule},evaluation.every=null",
        "--mode=train",
    )
    assert result.returncode == 1, result.stderr
    # Step 6 is the first with the huge rate: its loss is finite, what it leaves behind is not.
    line = running.error_line(result)
    assert re.search(r"NaN or infinite at step (6|7|8)\b", line)
    assert line.endswith("checkpoints/ckpt-4")
    assert [p.name for p in (tmp_path / "run/checkpoints").glob("*.index")] == ["ckpt-4.index"]
    assert not (tmp_path / "run/model.keras").exists()
    saved = checkpoint_values(tmp_path / "run", 4)
    assert all(np.isfinite(value).all() for value in saved.values())


def test_a_mistake_in_a_real_process(tmp_path):
    config = running.write_config(tmp_path, running.TINY_CONFIG.replace("sact", "sacct"))
    result = running.run("imagenet", f"--config={config}", f"--model_dir={tmp_path / 'run'}")
    assert result.returncode == 2
    assert running.error_line(result) == (
        f"error: {config}: model.halting: expected one of act, sact or null, received 'sacct' (str)"
    )
    assert not (tmp_path / "run").exists()
