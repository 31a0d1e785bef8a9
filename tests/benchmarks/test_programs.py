"""The benchmarks as programs, on networks small enough to be run by the way."""

import json
import subprocess
import sys

import pytest

from benchmarks.stock_network import stock_network
from tests.harness import ROOT
from tests.models.networks import make_classifier

SMALL = ("--depth=50", "--image_size=64x96", "--batch=1", "--runs=1", "--flops_ratio=0.6")


def start(program, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{program}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.parametrize(
    "argument, message",
    [("--executions=sparse", "sparse"), ("--image_size=600", "image_size"), ("--depth=7", "depth")],
)
def test_mistakes_are_named(argument, message):
    done = start("tiled_execution", argument, "--nomemory")
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.large
def test_every_execution_is_timed_and_compared(tmp_path):
    path, picture = tmp_path / "out.json", tmp_path / "plot.png"
    executions = ("dense", "masked", "tiled", "auto", "tiled_folded")
    done = start(
        "tiled_execution", *SMALL, f"--executions={','.join(executions)}", f"--json={path}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(path.read_text())
    assert set(result) == {"machine", "versions", "rows"}
    rows = {row["execution"]: row for row in result["rows"]}
    assert tuple(rows) == executions
    assert rows["dense"]["time_ratio"] == rows["dense"]["flops_ratio"] == 1
    for name in executions[1:]:
        row = rows[name]
        assert row["flops_ratio"] == pytest.approx(0.6, abs=0.02)
        assert row["max_relative_difference"] < 1e-5
        assert row["time_ratio_min"] <= row["time_ratio"] <= row["time_ratio_max"]
        assert row["milliseconds"] > 0 and row["peak_memory_ratio"] > 0.5
    assert start("plot", f"--json={path}", f"--output={picture}").returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.large
def test_static_execution_is_timed_beside_the_plain_network(tmp_path):
    path = tmp_path / "out.json"
    options = ("--depth=50", "--image_size=64x96", "--runs=1", "--flops_ratio=0.6")
    done = start(
        "static_execution", *options, "--executions=masked_xla,static_xla,static", f"--json={path}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {row["execution"]: row for row in json.loads(path.read_text())["rows"]}
    assert tuple(rows) == ("dense_xla", "masked_xla", "static_xla", "static")
    assert rows["dense_xla"]["time_ratio"] == rows["dense_xla"]["flops_ratio"] == 1
    for name in ("masked_xla", "static_xla", "static"):
        assert rows[name]["flops_ratio"] == pytest.approx(0.6, abs=0.02)
        assert rows[name]["milliseconds"] > 0


@pytest.mark.parametrize("net", ["imagenet", "cifar"])
def test_the_stock_network_has_the_same_layers(net):
    model = make_classifier(net, None)
    stock = stock_network(model, 32, 48)
    assert stock.output_shape == (None, model.num_classes)
    assert stock.count_params() == model.count_params()


@pytest.mark.large
def test_training_steps_beside_stock_layers_are_timed(tmp_path):
    path = tmp_path / "out.json"
    options = (
        "--cifar_units=2",
        "--image_size=16x16",
        "--batch=2",
        "--runs=1",
        "--flops_ratio=all",
    )
    done = start("training_step", *options, "--executions=stock,tiled", f"--json={path}")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {row["execution"]: row for row in json.loads(path.read_text())["rows"]}
    assert tuple(rows) == ("stock", "tiled")
    assert rows["stock"]["time_ratio"] == rows["stock"]["flops_ratio"] == 1


@pytest.mark.large
def test_training_steps_are_timed(tmp_path):
    path = tmp_path / "out.json"
    done = start("training_step", *SMALL, f"--json={path}")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {row["execution"]: row for row in json.loads(path.read_text())["rows"]}
    assert tuple(rows) == ("dense", "masked", "tiled")
    assert rows["tiled"]["flops_ratio"] == pytest.approx(0.6, abs=0.02)
    assert all(row["milliseconds"] > 0 for row in rows.values())
