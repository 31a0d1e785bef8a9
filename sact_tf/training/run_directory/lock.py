"""Keeps a second run out of a `--model_dir` while one is at work there."""

import errno
import fcntl
import os
import pathlib
import socket
from typing import IO

from sact_tf.errors import UserError

_held: dict[pathlib.Path, IO[str]] = {}


def lock_run(file: pathlib.Path, worker: int = 0) -> None:
    """Takes the place of one worker in a run, until the process ends, however it ends.

    The lock is on one byte of the file for each worker, so that all workers of a run get in and a
    second run of as many workers does not. It is a POSIX lock of the operating system: nothing is
    left behind by a process that was killed, and NFS (version 4) knows it across machines. In one
    process it may be taken again.

    Args:
        file: made if it is missing, with its directory.
        worker: number of this process in its run, 0 for the chief.

    Raises:
        UserError: another process has the place; says which.
    """
    file = file.resolve()
    if file in _held:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Kept open: closing any descriptor of the file gives a process's locks away.
        handle = file.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--model_dir={file.parent}: cannot be written: {error.strerror}") from None
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, worker)
    except OSError as error:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise UserError(
                f"--model_dir={file.parent}: cannot be locked: {error.strerror}"
            ) from None
        raise UserError(
            f"--model_dir={file.parent}: another run is at work there ({holder}); wait for its end "
            "or give another directory"
        ) from None
    _held[file] = handle
    if worker == 0:
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
