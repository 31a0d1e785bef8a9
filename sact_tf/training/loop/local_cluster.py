"""Several workers as processes of this machine, to try out what a cluster will do."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

# For the others to notice that one is lost, and to say so.
_GRACE_SECONDS = 20.0


def run_workers(command: Sequence[str], num_workers: int, worker_lost: int) -> int:
    """Runs a command as several workers and waits for their end.

    Lines of the chief, worker 0, appear as they are, those of the others with their number on
    stderr. The first worker that fails ends the others. SIGTERM and SIGINT go to all of them.

    Args:
        command: the program and its arguments; `TF_CONFIG` tells each process which worker it is.
        num_workers: how many.
        worker_lost: exit code with which a worker says that another one is gone.

    Returns:
        Exit code of the first worker that failed (128 + the signal that ended it), or 0.
    """
    addresses = [f"localhost:{port}" for port in _free_ports(num_workers)]
    workers = [_start(command, addresses, index) for index in range(num_workers)]

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        _signal_all(workers, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    return _wait(workers, worker_lost)


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _tf_config(addresses: Sequence[str], index: int) -> str:
    """The value of `TF_CONFIG` for one worker."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def _start(command: Sequence[str], addresses: Sequence[str], index: int) -> subprocess.Popen:
    environment = {**os.environ, "TF_CONFIG": _tf_config(addresses, index)}
    # In process groups of their own, or the terminal's Ctrl-C would reach them beside ours.
    if index == 0:
        return subprocess.Popen(command, env=environment, process_group=0)
    worker = subprocess.Popen(
        command,
        env=environment,
        process_group=0,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    def pass_on() -> None:
        for line in worker.stdout or ():
            print(f"[worker {index}] {line}", end="", file=sys.stderr, flush=True)

    threading.Thread(target=pass_on, daemon=True).start()
    return worker


def _wait(workers: Sequence[subprocess.Popen], worker_lost: int) -> int:
    """Waits for the end of all; returns the exit code of the first one that failed, or 0."""
    first_code, deadline = 0, None
    while True:
        codes = [worker.poll() for worker in workers]
        failed = [code for code in codes if code]
        if failed and deadline is None:
            # Being told that another is lost is not what went wrong first.
            first_code = min(failed, key=lambda code: code == worker_lost)
            deadline = time.monotonic() + _GRACE_SECONDS
        if None not in codes:
            return 128 - first_code if first_code < 0 else first_code
        if deadline is not None and time.monotonic() > deadline:
            _signal_all(workers, signal.SIGKILL)
        time.sleep(0.1)


def _signal_all(workers: Sequence[subprocess.Popen], number: int) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)
