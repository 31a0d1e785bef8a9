"""The benchmark of trained networks as a program, on a run that nobody had to train."""

import json

import pytest

from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.loading import dump_config, load_config
from tests.benchmarks.test_programs import start
from tests.data.picture_files import write_picture
from tests.training import running

EXECUTIONS = ("masked", "tiled", "auto")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    config = load_config(ClassificationConfig, running.write_config(directory))
    model = builders.build_model(config, builders.build_data(config.data))
    (directory / "config.yaml").write_text(dump_config(config))
    model.save(directory / "model.keras")
    return directory


def test_a_run_is_measured_on_its_held_out_images(run, tmp_path):
    file = tmp_path / "out.json"
    done = start(
        "trained_network", f"--model={run}", "--batch=1,8", "--runs=2", "--nomemory",
        f"--json={file}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(file.read_text())
    assert result["machine"]["processor"] in done.stdout
    assert f"{result['machine']['threads']} threads" in done.stdout
    names = ["plain", *EXECUTIONS, "exported"]
    assert [(row["batch"], row["execution"]) for row in result["rows"]] == [
        (batch, name) for batch in (1, 8) for name in names
    ]
    for row in result["rows"]:
        assert row["images"] == 2 * row["batch"] and row["image_size"] == [16, 16]
        assert row["milliseconds"] > 0
        assert row["time_ratio_min"] <= row["time_ratio"] <= row["time_ratio_max"]
        # Fresh scores halt at the last unit, so the halting branches come on top.
        plain = row["execution"] == "plain"
        assert row["flops_ratio"] == 1 if plain else 1 < row["flops_ratio"] < 1.1
        assert row["time_ratio"] == 1 or not plain
        assert row.get("exported_execution", "masked") in EXECUTIONS
        assert f"{row['milliseconds']:.3f}" in done.stdout


def test_own_images_are_measured(run, tmp_path):
    """Without its config a model is a mere file, that needs images."""
    model = tmp_path / "model.keras"
    model.write_bytes((run / "model.keras").read_bytes())
    wanted = start("trained_network", f"--model={model}")
    assert wanted.returncode == 2 and "--images is needed" in wanted.stderr
    for number in range(3):
        write_picture(tmp_path / "photos" / f"{number}.png", 16, 16, seed=number)
    arguments = [f"--model={model}", f"--images={tmp_path / 'photos'}", "--noexport", "--runs=1"]
    done = start("trained_network", *arguments, "--batch=3", "--nomemory")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "batch 3, 16x16, 3 images" in done.stdout and "exported" not in done.stdout
    few = start("trained_network", *arguments, "--batch=4")
    assert few.returncode == 2 and "there are only 3 images" in few.stderr


@pytest.mark.parametrize("batch", ["0", "many", "1,-2"])
def test_a_wrong_batch_is_named(batch):
    done = start("trained_network", "--model=nowhere", f"--batch={batch}")
    assert done.returncode == 2 and "--batch: expected positive ints" in done.stderr
    assert "Traceback" not in done.stderr


def test_capacities_are_judged_on_other_images(run, tmp_path):
    file = tmp_path / "out.json"
    done = start(
        "capped_network", f"--model={run}", "--caps=1,=0.1", "--images=8", f"--json={file}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    free, whole, tenth = json.loads(file.read_text())["rows"]
    assert free["flops_ratio"] == whole["flops_ratio"] and whole["cut"] == 0
    assert tenth["flops_ratio"] <= tenth["flops_at_most"] < free["flops_ratio"]
    assert tenth["limited"] == 1 and f"{tenth['flops_ratio']:.3f}" in done.stdout
