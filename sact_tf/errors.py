"""The one exception whose message is all that a person needs."""

import re

# Around a message that travels through a tf.data pipeline, which knows errors of its own only.
OPEN, CLOSE = "UserError in the input pipeline:", "end of UserError"
_MESSAGE = re.compile(rf"\[{OPEN}\] \[(.*?)\] \[{CLOSE}\]", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}


class UserError(ValueError):
    """A mistake of the user: a wrong path, a damaged file, an impossible setting.

    The message says what is wrong, where, and what would be right. Programs print it without a
    traceback and exit with code 2 (`sact_tf.command_line`).
    """


def user_error_in(error: BaseException | None) -> UserError | None:
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
