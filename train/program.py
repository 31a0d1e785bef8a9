"""What every program of this directory does around its `main`."""

import errno
import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from sact_tf import paths
from sact_tf.errors import UserError
from train import exit_codes

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Failure(Exception):
    """Ends a program with a line on stderr and an exit code of its own.

    Args:
        message: the line, without what stands before it.
        exit_code: of `train.exit_codes`.
        label: stands before it.
    """

    def __init__(self, message: str, exit_code: int, label: str = "error"):
        super().__init__(message)
        self.exit_code = exit_code
        self.label = label


def run(main: Callable[[Sequence[str]], None], positional: bool = False) -> None:
    """Parses the flags and runs `main`; ends the process.

    A `UserError` (also one raised inside an input pipeline) and a wrong flag print one line
    `error: ...` on stderr and exit with code 2, a `Failure` likewise with its own code. Anything
    else is a bug and keeps its traceback.
    Relative paths mean the caller's directory, also under `bazel run`.

    Args:
        main: called with the program's name and the arguments that belong to no flag.
        positional: whether there may be such arguments; they are refused otherwise.
    """
    app.run(
        lambda argv: _guarded(main, argv),
        flags_parser=lambda argv: _parse_flags(argv, positional),
    )


def _parse_flags(argv: Sequence[str], positional: bool) -> list[str]:
    try:
        remaining = flags.FLAGS(argv)
    except flags.Error as error:
        _exit_with(f"{error} (--help lists the flags)")
    if len(remaining) > 1 and not positional:
        _exit_with(f"unexpected argument {remaining[1]!r}: every argument is a --flag=value")
    return remaining


def _guarded(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    paths.enter_working_directory()
    try:
        main(argv)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(exit_codes.INTERRUPTED)
    except Failure as failure:
        _exit_with(str(failure), failure.exit_code, failure.label)
    except Exception as error:
        user_error = _user_error(error)
        if user_error is None:
            raise
        _exit_with(str(user_error))


def _user_error(error: Exception) -> UserError | None:
    if isinstance(error, UserError):
        return error
    of_tensorflow = type(error).__module__.startswith("tensorflow.")
    if (
        isinstance(error, OSError)
        and error.errno in _NO_ROOM
        or (of_tensorflow and any(os.strerror(number) in str(error) for number in _NO_ROOM))
    ):
        return UserError(f"the disk refuses to take more: {str(error):.300}")
    if of_tensorflow:
        from sact_tf.data.errors import unwrap  # not before TensorFlow is there anyway

        return unwrap(error)
    return None


def _exit_with(message: str, exit_code: int = exit_codes.USER_ERROR, label: str = "error") -> None:
    print(f"{label}: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(exit_code)
