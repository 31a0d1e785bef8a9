"""What happens to long runs, done to real processes of the training program."""

import functools
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from sact_tf.errors import UserError
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import load_config
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.lock import lock_run
from tests.training import running
from tests.training.comparing import assert_same_bits, checkpoint_values, weights_of
from train import exit_codes


def _wait_for(path, process):
    deadline = time.monotonic() + 300
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert path.exists(), process.communicate()


def test_sigterm_saves_and_the_run_goes_on_bit_for_bit(finished_run, tmp_path):
    run_directory = tmp_path / "run"
    arguments = (
        f"--config={finished_run.parent / 'tiny.yaml'}",
        f"--model_dir={run_directory}",
    )
    process = running.start("imagenet", *arguments)
    _wait_for(run_directory / "checkpoints" / "ckpt-4.index", process)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert process.returncode == exit_codes.PREEMPTED == 75, error
    (line,) = [line for line in error.splitlines() if line.startswith("stopped: ")]
    step = int(line.split("SIGTERM after step ")[1].split(",")[0])
    assert 4 <= step < 12 and f"ckpt-{step}; the same command goes on" in line
    assert "Traceback" not in error and not (run_directory / "model.keras").exists()
    assert (run_directory / "checkpoints" / f"ckpt-{step}.index").exists()

    result = running.run("imagenet", *arguments)
    assert result.returncode == 0, result.stderr
    assert f"restored {run_directory}/checkpoints/ckpt-{step}\n" in result.stdout
    assert_same_bits(weights_of(run_directory), weights_of(finished_run))
    assert_same_bits(checkpoint_values(run_directory, 12), checkpoint_values(finished_run, 12))


def test_a_longer_run_that_is_stopped_says_whose_results_there_are(finished_run, tmp_path):
    directory = shutil.copytree(finished_run, tmp_path / "run")
    arguments = (
        f"--config={finished_run.parent / 'tiny.yaml'}",
        f"--model_dir={directory}",
        "--params_override=train.steps=5000",
    )
    # Tests that run in the background may have to ignore it, which children inherit.
    not_ignored = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = running.start("imagenet", *arguments, preexec_fn=not_ignored)
    _wait_for(directory / "checkpoints" / "ckpt-16.index", process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == exit_codes.INTERRUPTED == 130, error
    step = int(error.split("stopped: Ctrl-C after step ")[1].split(",")[0])
    assert step >= 16 and (directory / "checkpoints" / f"ckpt-{step}.index").exists()
    assert "metrics.json and report.html are still of step 12" in error
    assert running.read_metrics(directory)["steps"] == 12


def test_a_full_disk_leaves_the_old_checkpoints(finished_run, tmp_path):
    copy = shutil.copytree(finished_run, tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (copy / "checkpoints").glob("ckpt-*")}

    def limit_files():
        # Checkpoints have 100 kB.
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    process = running.start(
        "imagenet",
        f"--model_dir={copy}",
        "--mode=train",
        "--params_override=train.steps=16,evaluation.every=null",
        preexec_fn=limit_files,
    )
    _, error = process.communicate(timeout=300)
    assert process.returncode == exit_codes.USER_ERROR, error
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert "checkpoint of step 16 cannot be written: " in line and "File too large" in line
    assert line.endswith("ckpt-12") and "Traceback" not in error
    after = {p.name: p.read_bytes() for p in (copy / "checkpoints").glob("ckpt-*")}
    assert after == before


HOLDER = """
import pathlib, sys, time
from sact_tf.training.run_directory.lock import lock_run
lock_run(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
print("locked", flush=True)
time.sleep(600)
"""


def _hold(lock, worker):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock, str(worker)],
        cwd=running.ROOT,
        text=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == "locked\n"
    return process


class _TaskThatBuildsNothing(ClassificationTask):
    def build_data(self):
        raise AssertionError("built before it was refused")


def test_a_second_run_is_refused_until_the_first_is_dead(finished_run, tmp_path):
    copy = shutil.copytree(finished_run, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.name != "lock"}
    # The workers of one run do not keep each other out.
    chief, worker = _hold(copy / "lock", 0), _hold(copy / "lock", 1)
    try:
        for number, holder in enumerate((chief, worker)):
            with pytest.raises(UserError, match=rf"another run .*process {chief.pid} on"):
                lock_run(copy / "lock", number)
            assert holder.poll() is None
        arguments = (f"--model_dir={copy}", "--params_override=train.steps=14")
        result = running.run("imagenet", *arguments)
        assert result.returncode == exit_codes.USER_ERROR
        assert f"another run is at work there (process {chief.pid}" in running.error_line(result)
        after = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.name != "lock"}
        assert after == before
        config = load_config(ClassificationConfig, copy / "config.yaml")
        with pytest.raises(UserError, match="another run is at work there"):
            TrainingRun(_TaskThatBuildsNothing(config), RunDirectory(copy))
    finally:
        for holder in (chief, worker):
            holder.kill()
            holder.communicate()
    lock_run(copy / "lock", 0)
    lock_run(copy / "lock", 0)  # its own
    with (copy / "lock").open("r+") as file:
        assert f"process {os.getpid()}" in file.read()
