"""Runs a training program as several workers on this machine, to try out what a cluster will do.

    python -m train.launch_local --workers=2 -- --config=configs/quickstart.yaml --model_dir=runs/a

What stands after `--` goes to each worker, with `runtime.strategy=multi_worker_mirrored`. Lines of
the chief, worker 0, appear as they are, those of the others with their number. The first worker
that fails ends the others, and gives its exit code; SIGTERM and SIGINT go to all of them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from absl import flags

from train import exit_codes, program

_WORKERS = flags.DEFINE_integer("workers", 2, "number of processes", lower_bound=1)
_PROGRAM = flags.DEFINE_enum("program", "imagenet", ["imagenet", "coco"], "what each of them runs")

_STRATEGY = "--params_override=runtime.strategy=multi_worker_mirrored,runtime.replicas=null"
# For the others to notice that one is lost, and to say so.
_GRACE_SECONDS = 20.0


def main(argv: Sequence[str]) -> None:
    command = [sys.executable, "-m", f"train.{_PROGRAM.value}", *argv[1:], _STRATEGY]
    addresses = [f"localhost:{port}" for port in free_ports(_WORKERS.value)]
    workers = [_start(command, addresses, index) for index in range(len(addresses))]

    def forward(number, frame):
        del frame
        _signal_all(workers, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    code = _wait(workers)
    if code:
        sys.exit(code)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def tf_config(addresses: Sequence[str], index: int) -> str:
    """The value of `TF_CONFIG` for one worker."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def _start(command: Sequence[str], addresses: Sequence[str], index: int) -> subprocess.Popen:
    environment = {**os.environ, "TF_CONFIG": tf_config(addresses, index)}
    if index == 0:
        return subprocess.Popen(command, env=environment)
    worker = subprocess.Popen(
        command,
        env=environment,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    def pass_on():
        for line in worker.stdout:
            print(f"[worker {index}] {line}", end="", file=sys.stderr, flush=True)

    threading.Thread(target=pass_on, daemon=True).start()
    return worker


def _wait(workers: Sequence[subprocess.Popen]) -> int:
    """Waits for the end of all; returns the exit code of the first one that failed, or 0."""
    first_code, deadline = 0, None
    while any(worker.poll() is None for worker in workers):
        failed = [worker.returncode for worker in workers if worker.returncode]
        if failed and deadline is None:
            # Being told that another is lost is not what went wrong first.
            first_code = min(failed, key=lambda code: code == exit_codes.WORKER_LOST)
            deadline = time.monotonic() + _GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            _signal_all(workers, signal.SIGKILL)
        time.sleep(0.1)
    codes = [worker.returncode for worker in workers if worker.returncode]
    code = first_code or (codes[0] if codes else 0)
    return 128 - code if code < 0 else code


def _signal_all(workers: Sequence[subprocess.Popen], number: int) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)


if __name__ == "__main__":
    program.run(main, positional=True)
