"""Carries a `UserError` through a tf.data pipeline, which knows only errors of its own.

`numpy_function` turns an exception into a status whose text is a Python traceback, and logs it on
the way. So a function that runs in a pipeline returns its message as a string instead, and an
assertion in the graph carries it to whoever consumes the data set; `unwrap` finds it there.
"""

import re

import tensorflow as tf

from sact_tf.errors import UserError

_OPEN, _CLOSE = "UserError in the input pipeline:", "end of UserError"
_MESSAGE = re.compile(rf"\[{_OPEN}\] \[(.*?)\] \[{_CLOSE}\]", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}


def assert_no_error(message: tf.Tensor) -> tf.Operation | None:
    """Fails the pipeline if there is a message.

    Args:
        message: scalar string, empty if all is well.
    """
    return tf.debugging.Assert(tf.equal(message, ""), [_OPEN, message, _CLOSE])


def unwrap(error: BaseException | None) -> UserError | None:
    """The `UserError` that an exception is, or carries out of an input pipeline.

    Args:
        error: what was caught, for instance a `tf.errors.InvalidArgumentError` from a training
            step, from `model.fit` or from iterating over a data set.

    Returns:
        The user error with its own message, or None if `error` is something else.
    """
    while error is not None:
        if isinstance(error, UserError):
            return error
        found = _MESSAGE.search(str(error))
        if found:
            return UserError(_ESCAPE.sub(_unescape, found.group(1)))
        error = error.__cause__
    return None


def _unescape(escape: re.Match) -> str:
    text = escape.group(1)
    return chr(int(text, 8)) if len(text) == 3 else _CONTROL.get(text, text)
