"""Log lines of TensorFlow's C++ code that no log level governs."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_GRAPPLER = re.compile(
    rb"I0000 .* (devices|single_machine)\.cc:|WARNING: All log messages before absl::InitializeLog"
)


@contextlib.contextmanager
def grappler_silenced() -> Iterator[None]:
    """Where TensorFlow's log is hidden, hides what Grappler says of devices and sessions, too.

    All that is written to stderr meanwhile, by whatever thread, comes at the end, without it.
    """
    if os.environ.get(_LEVEL, "0") == "0":
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # There is none.
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _GRAPPLER.match(line):
                    os.write(2, line)
