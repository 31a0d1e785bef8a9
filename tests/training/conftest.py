"""Tiny runs."""

import fcntl
import os
import pathlib

import pytest

from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import load_config
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.directory import RunDirectory
from tests.training import running


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> pathlib.Path:
    """The directory of a tiny run, trained and evaluated by a real process. Not to be changed.

    All processes of pytest share one.
    """
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent
    directory = directory / "finished"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "run" / "stdout.txt").exists():
            config = running.write_config(directory)
            result = running.run(
                "imagenet", f"--config={config}", f"--model_dir={directory / 'run'}"
            )
            assert result.returncode == 0, result.stderr
            (directory / "run" / "stdout.txt").write_text(result.stdout)
    return directory / "run"


@pytest.fixture
def prepare(tmp_path):
    """Makes a tiny run of two steps in this process.

    Op determinism stays off, as it could not be turned off again.
    """

    def prepare(*overrides, name="run", task_class=ClassificationTask, trains=True):
        config = load_config(
            ClassificationConfig,
            running.write_config(tmp_path),
            ["runtime.deterministic=false,train.steps=2,evaluation.every=null", *overrides],
        )
        return TrainingRun(task_class(config), RunDirectory(tmp_path / name), trains)

    return prepare
