"""Two workers of a cluster as two real processes on this machine."""

import json
import os
import pathlib
import re
import signal
import time

import numpy as np
import pytest

from tests.training import running
from tests.training.comparing import assert_same_bits, checkpoint_values, weights_of
from train import exit_codes

pytestmark = pytest.mark.large

# A learning rate at which round-off stays round-off.
OVERRIDES = "--params_override=train.learning_rate.initial=0.005"
KILLED = 128 + signal.SIGKILL


def _arguments(directory, run_directory):
    return (f"--config={running.write_config(directory)}", f"--model_dir={run_directory}")


def _start(directory, run_directory):
    arguments = _arguments(directory, run_directory)
    return running.start("launch_local", "--workers=2", "--", *arguments, OVERRIDES)


def _run(directory, run_directory):
    process = _start(directory, run_directory)
    out, error = process.communicate(timeout=900)
    return process.returncode, out, error


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cluster")
    code, out, error = _run(directory, directory / "run")
    assert code == 0, error
    (directory / "run" / "stdout.txt").write_text(out)
    return directory / "run"


def _wait_for(path, process):
    deadline = time.monotonic() + 600
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert path.exists(), process.communicate()


def _worker_ids(launcher):
    """Process ids of the workers, in their order."""
    children = pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    numbers = {}
    for child in map(int, children.split()):
        environment = pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        (config,) = [v[10:] for v in environment if v.startswith(b"TF_CONFIG=")]
        numbers[json.loads(config)["task"]["index"]] = child
    return [numbers[index] for index in sorted(numbers)]


def test_two_workers_are_as_one_with_the_same_batch(unbroken, tmp_path):
    result = running.run("imagenet", *_arguments(tmp_path, tmp_path / "one"), OVERRIDES)
    assert result.returncode == 0, result.stderr
    one, two = (running.read_metrics(path) for path in (tmp_path / "one", unbroken))
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert two["cross_entropy"] == pytest.approx(one["cross_entropy"], rel=1e-2)
    ours, theirs = (
        [json.loads(line) for line in (path / "history.jsonl").open()]
        for path in (unbroken, tmp_path / "one")
    )
    for mine, other in zip(ours[:2], theirs[:2], strict=True):  # steps 1-4
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert mine["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)
    # Round-off grows: tenfold in four steps of this network.
    ours, theirs = (checkpoint_values(path, 8) for path in (unbroken, tmp_path / "one"))
    for key in theirs:
        if key.startswith("model/"):
            np.testing.assert_allclose(ours[key], theirs[key], atol=2e-3, err_msg=key)


def test_only_the_chief_writes_and_speaks(unbroken):
    lines = (unbroken / "stdout.txt").read_text().splitlines()
    assert len([line for line in lines if re.match(r"step +\d+/12 ", line)]) == 6
    records = [json.loads(line) for line in (unbroken / "history.jsonl").open()]
    keys = [(record["kind"], record["step"]) for record in records]
    assert len(keys) == len(set(keys)) == 8
    assert len(list((unbroken / "events" / "train").iterdir())) == 1
    names = {path.stem for path in (unbroken / "checkpoints").glob("*.index")}
    assert names == {"ckpt-8", "ckpt-12"}


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_costs_nothing_but_time(unbroken, tmp_path, victim):
    run_directory = tmp_path / "run"
    process = _start(tmp_path, run_directory)
    _wait_for(run_directory / "checkpoints" / "ckpt-4.index", process)
    os.kill(_worker_ids(process)[victim], signal.SIGKILL)
    _, error = process.communicate(timeout=300)
    assert process.returncode in (KILLED, exit_codes.WORKER_LOST), error
    assert not (run_directory / "model.keras").exists()

    code, out, error = _run(tmp_path, run_directory)
    assert code == 0, error
    assert re.search(r"^restored .*ckpt-(4|8)$", out, re.MULTILINE)
    assert_same_bits(weights_of(run_directory), weights_of(unbroken))
    assert_same_bits(checkpoint_values(run_directory, 12), checkpoint_values(unbroken, 12))


def test_sigterm_to_one_worker_stops_all_after_the_same_step(unbroken, tmp_path):
    run_directory = tmp_path / "run"
    process = _start(tmp_path, run_directory)
    _wait_for(run_directory / "checkpoints" / "ckpt-4.index", process)
    os.kill(_worker_ids(process)[1], signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert process.returncode == exit_codes.PREEMPTED, error
    steps = re.findall(r"stopped: SIGTERM after step (\d+)", error)
    assert len(steps) == 2 and len(set(steps)) == 1
    assert (run_directory / "checkpoints" / f"ckpt-{steps[0]}.index").exists()
    code, _, error = _run(tmp_path, run_directory)
    assert code == 0, error
    assert_same_bits(weights_of(run_directory), weights_of(unbroken))
