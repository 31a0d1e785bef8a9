"""What every program of this directory does around its `main`."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from sact_tf import paths
from sact_tf.errors import UserError
from train import exit_codes


class Failure(Exception):
    """Ends a program with a line on stderr and an exit code of its own.

    Args:
        message: without the `error: ` before it.
        exit_code: of `train.exit_codes`.
    """

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


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
        _exit_with(str(failure), failure.exit_code)
    except Exception as error:
        user_error = _user_error(error)
        if user_error is None:
            raise
        _exit_with(str(user_error))


def _user_error(error: Exception) -> UserError | None:
    if isinstance(error, UserError):
        return error
    if type(error).__module__.startswith("tensorflow."):
        from sact_tf.data.errors import unwrap  # not before TensorFlow is there anyway

        return unwrap(error)
    return None


def _exit_with(message: str, exit_code: int = exit_codes.USER_ERROR) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(exit_code)
