"""Python functions inside tf.data pipelines: errors as messages, and a process that can end.

A pipeline reads ahead in threads of its own. If the interpreter shuts down while one of them waits
for the interpreter's lock, that thread never comes back, and deleting the iterator waits for it
for ever (seen: one in six processes that ended on a failed iterator on a busy machine). So when the
process ends, new calls are refused at once and those under way are waited for.
"""

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from sact_tf.data.errors import assert_no_error
from sact_tf.errors import UserError

_QUIET_SECONDS = 0.1
_TICK_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 10.0


class _Calls:
    """The calls under way in the whole process."""

    def __init__(self):
        self.closing = False
        self._running = 0
        self._last = 0.0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._last = time.monotonic()

    def close(self) -> None:
        if not self._last and not self._running:  # There was no call at all.
            return
        self.closing = True
        start = now = self._last = time.monotonic()
        while now - start < _LONGEST_WAIT_SECONDS:
            time.sleep(_TICK_SECONDS)  # Threads that wait for the interpreter's lock get it here.
            tick, now = now, time.monotonic()
            with self._lock:
                if now - tick > 3 * _TICK_SECONDS:
                    self._last = now  # The machine is busy: other threads had no time either.
                if not self._running and now - self._last > _QUIET_SECONDS:
                    return


_calls = _Calls()
atexit.register(_calls.close)


def call_python(
    function: Callable[..., Sequence[np.ndarray]],
    inputs: Sequence[tf.Tensor],
    output_signature: Sequence[tf.TensorSpec],
) -> list[tf.Tensor]:
    """Calls a Python function from the function of a `tf.data.Dataset.map`.

    Args:
        function: takes the inputs as NumPy values and returns one array per output. It must depend
            on its inputs alone. A `UserError` from it fails the pipeline with its message
            (`sact_tf.errors.user_error_in`).
        inputs: tensors.
        output_signature: of the outputs.

    Returns:
        The outputs, their static shapes set.
    """

    def guarded(*arguments):
        with _calls.one():
            if _calls.closing:
                return ["the process is ending", *nothing]
            try:
                return ["", *function(*arguments)]
            except UserError as error:
                return [str(error).encode("utf-8", "backslashreplace"), *nothing]

    nothing = [
        np.full([size or 0 for size in spec.shape], b"" if spec.dtype == tf.string else 0).astype(
            spec.dtype.as_numpy_dtype
        )
        for spec in output_signature
    ]
    # Not stateful: under op determinism tf.data would run a stateful map on one thread.
    message, *outputs = tf.numpy_function(
        guarded, inputs, [tf.string, *(spec.dtype for spec in output_signature)], stateful=False
    )
    with tf.control_dependencies([assert_no_error(message)]):
        return [
            tf.ensure_shape(tf.identity(output), spec.shape)
            for output, spec in zip(outputs, output_signature, strict=True)
        ]
