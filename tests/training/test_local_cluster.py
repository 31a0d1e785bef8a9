"""What becomes of the exit codes of several processes."""

import signal
import sys

import pytest

from sact_tf.training.loop.local_cluster import run_workers

WORKER_LOST = 69

# Worker 1 fails; worker 0 notices, and ends with the code that says so.
_FAILING = """
import json, os, pathlib, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
file = pathlib.Path(sys.argv[1])
if task == 1:
    file.with_suffix(".tmp").write_text(str(os.getpid()))
    file.with_suffix(".tmp").rename(file)
    sys.exit(3)
while not file.exists():
    time.sleep(0.01)
while os.path.exists(stat := f"/proc/{file.read_text()}/stat"):
    if open(stat).read().rpartition(")")[2].split()[0] == "Z":
        break
    time.sleep(0.01)
sys.exit(69)
"""

_SUCCEEDING = """
import json, os
config = json.loads(os.environ["TF_CONFIG"])
assert len(set(config["cluster"]["worker"])) == 2
assert config["task"]["type"] == "worker" and config["task"]["index"] in (0, 1)
"""


@pytest.fixture(autouse=True)
def signal_handlers():
    """`run_workers` sets those of the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_code_is_that_of_the_worker_that_failed_first(tmp_path):
    command = [sys.executable, "-c", _FAILING, str(tmp_path / "pid")]
    assert run_workers(command, 2, WORKER_LOST) == 3


def test_every_worker_knows_all_addresses_and_its_place():
    assert run_workers([sys.executable, "-c", _SUCCEEDING], 2, WORKER_LOST) == 0
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_workers([sys.executable, "-c", kill], 2, WORKER_LOST) == 128 + signal.SIGKILL
