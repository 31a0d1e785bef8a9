"""Carries a `UserError` through a tf.data pipeline, which knows only errors of its own.

`numpy_function` turns an exception into a status whose text is a Python traceback, and logs it on
the way. So a function that runs in a pipeline returns its message as a string instead, and an
assertion in the graph carries it to whoever consumes the data set; `sact_tf.errors.user_error_in`
finds it there.
"""

import tensorflow as tf

from sact_tf.errors import CLOSE, OPEN


def assert_no_error(message: tf.Tensor) -> tf.Operation | None:
    """Fails the pipeline if there is a message.

    Args:
        message: scalar string, empty if all is well.
    """
    return tf.debugging.Assert(tf.equal(message, ""), [OPEN, message, CLOSE])
