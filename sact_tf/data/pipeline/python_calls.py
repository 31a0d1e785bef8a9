"""Python functions inside tf.data pipelines: errors as messages, and a process that can end.

`numpy_function` turns an exception into a status whose text is a Python traceback, and logs it on
the way. So a function that runs in a pipeline returns its message as a string instead, and an
assertion in the graph carries it to whoever consumes the data set; `sact_tf.errors.user_error_in`
finds it there.

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

from sact_tf.errors import CLOSE, OPEN, UserError

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

    nothing = [blank(spec) for spec in output_signature]
    # Not stateful: under op determinism tf.data would run a stateful map on one thread.
    message, *outputs = tf.numpy_function(
        guarded, inputs, [tf.string, *(spec.dtype for spec in output_signature)], stateful=False
    )
    with tf.control_dependencies([assert_no_error(message)]):
        return [
            tf.ensure_shape(tf.identity(output), spec.shape)
            for output, spec in zip(outputs, output_signature, strict=True)
        ]


def assert_no_error(message: tf.Tensor) -> tf.Operation | None:
    """Fails the pipeline if there is a message.

    Args:
        message: scalar string, empty if all is well.
    """
    return tf.debugging.Assert(tf.equal(message, ""), [OPEN, message, CLOSE])


def blank(spec: tf.TensorSpec, unknown: int = 0) -> np.ndarray:
    """Zeros, or empty strings, that fit `spec`; sides that it leaves open are `unknown` long."""
    value = b"" if spec.dtype == tf.string else 0
    shape = [unknown if side is None else side for side in spec.shape]
    return np.full(shape, value).astype(spec.dtype.as_numpy_dtype)
