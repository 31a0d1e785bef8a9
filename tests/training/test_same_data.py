"""Two workers, as real processes, whose data lies on disks of their own."""

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from tests.data.picture_files import write_classes, write_picture
from tests.training.running import ROOT
from train import exit_codes

_WORKER = """
import json, os, sys
from sact_tf.command_line import USER_ERROR_CODE
from sact_tf.data import ImageFolder
from sact_tf.errors import UserError
from sact_tf.training.config.sections import RuntimeConfig
from sact_tf.training.errors import WorkerLost
from sact_tf.training.loop.same_data import build_same_data
from sact_tf.training.loop.strategies import build_strategy
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
strategy = build_strategy(RuntimeConfig(strategy="multi_worker_mirrored"))
try:
    data = build_same_data(strategy, lambda: ImageFolder(sys.argv[1 + index], sys.argv[3]))
    print("classes:", *data.class_names)
except UserError as error:
    print("error:", error)
    sys.exit(2)
except WorkerLost as error:
    print("error:", error)
    sys.exit(69)
"""


@pytest.fixture
def folders(tmp_path):
    ours = write_classes(tmp_path / "disk 0", ("ant", "cat"), count=3)
    theirs = shutil.copytree(ours, tmp_path / "disk 1")
    return ours, theirs, write_classes(tmp_path / "held out", ("cat",), count=2)


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("localhost", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def run(folders):
    """Exit codes and outputs of both workers."""
    workers = [f"localhost:{port}" for port in _free_ports(2)]
    processes = []
    for index in range(2):
        task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", _WORKER, *map(str, folders)]
        processes.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def test_the_same_data(folders):
    assert run(folders) == ([0, 0], ["classes: ant cat\n"] * 2)


def test_other_classes_are_refused_by_all(folders):
    (folders[1] / "ant").rename(folders[1] / "dog")
    codes, outputs = run(folders)
    assert codes == [exit_codes.USER_ERROR] * 2
    assert all("worker 1 has other classes than worker 0" in output for output in outputs)
    assert "worker 0: 2 classes, ant, cat" in outputs[0]
    assert "worker 1: 2 classes, cat, dog" in outputs[1]


@pytest.mark.large
def test_a_missing_image_is_refused_by_all(folders):
    (folders[1] / "ant" / "0.png").unlink()
    codes, outputs = run(folders)
    assert codes == [exit_codes.USER_ERROR] * 2
    assert all("worker 1 has another number of images" in output for output in outputs)
    assert "worker 0: 6 for training, 2 held out" in outputs[0]


@pytest.mark.large
def test_another_file_is_said(folders):
    write_picture(folders[1] / "ant" / "0.png", 40, 40)
    codes, outputs = run(folders)
    assert codes == [0, 0]
    assert all("warning: worker 1 has other files than worker 0" in output for output in outputs)


@pytest.mark.large
def test_a_worker_without_data_ends_the_others(folders):
    shutil.rmtree(folders[1])
    codes, outputs = run(folders)
    assert codes == [exit_codes.WORKER_LOST, exit_codes.USER_ERROR]
    assert "worker 1 has no data" in outputs[0] and "no such folder" in outputs[1]
