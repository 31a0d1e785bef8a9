"""What a program does around its `main`: flags, and foreseen ends as one line and a code."""

import errno
import io
import logging as std_logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from absl import app, flags, logging

from sact_tf import paths
from sact_tf.errors import UserError, user_error_in
from sact_tf.text import one_line

USER_ERROR_CODE = 2
INTERRUPTED_CODE = 130  # 128 + SIGINT, as shells have it.

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Main = Callable[[Sequence[str]], None]
# By class of exception: the word before its message, and the exit code.
Endings = Mapping[type[BaseException], tuple[str, int]]


def run(
    main: Main,
    define_flags: Callable[[], object] | None = None,
    positional: bool = False,
    endings: Endings | None = None,
) -> None:
    """Defines and parses the flags and runs `main`; ends the process.

    A `UserError` (also one raised inside an input pipeline) and a wrong flag print one line
    `error: ...` on stderr and exit with code 2. Any other exception is a bug and keeps its
    traceback, unless `endings` has it. Characters that stdout cannot show are printed as `\\xd7`.
    Relative paths mean the caller's directory, also under `bazel run`. Warnings are lines
    `warning: ...` on stderr, each said once; `--verbose` also shows what is of no concern to most
    users, with the time and place of each line.

    Args:
        main: called with the program's name and the arguments that belong to no flag.
        define_flags: calls `flags.DEFINE_...` of absl. Flags that are defined here, and not when
            the program's module is imported, leave several programs importable in one process.
        positional: whether there may be such arguments; they are refused otherwise.
        endings: further exceptions that end a program with one line.
    """
    define_key_flags(_define_common_flags)
    if define_flags is not None:
        define_key_flags(define_flags)
    app.run(
        lambda argv: _guarded(main, argv, endings or {}),
        flags_parser=lambda argv: _parse_flags(argv, positional),
    )


def define_key_flags(define_flags: Callable[[], object]) -> None:
    """Calls `define_flags`; what it defines is what `--help` lists."""
    others = set(flags.FLAGS)
    define_flags()
    for name in set(flags.FLAGS) - others:
        # What --help lists is what belongs to the main module, by absl's name for it.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def _define_common_flags() -> None:
    flags.DEFINE_bool("verbose", False, "show the log of TensorFlow and of the libraries, too")


class _OnceEach(std_logging.Filter):
    """Passes on what has not been said: some programs list the same data for each stage."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[tuple[int, str]] = set()

    def filter(self, record: std_logging.LogRecord) -> bool:
        text = (record.levelno, record.getMessage())
        is_new = text not in self._said
        self._said.add(text)
        return is_new


class _WarningLine(std_logging.Formatter):
    """`warning: what is wrong`, without time, process and source line."""

    def format(self, record: std_logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


def _set_up_log() -> None:
    """Leaves only warnings of absl's log, which TensorFlow and orbit use, too."""
    if flags.FLAGS.verbose or flags.FLAGS["verbosity"].present:
        return
    logging.set_verbosity(logging.WARNING)
    logging.get_absl_handler().setFormatter(_WarningLine())
    logging.get_absl_handler().addFilter(_OnceEach())


def next_steps(commands: Sequence[str]) -> str:
    """Lines with which a program ends: the commands that people may want to run next."""
    return "\n".join(["next:", *(f"  {command}" for command in commands)])


def _parse_flags(argv: Sequence[str], positional: bool) -> list[str]:
    try:
        remaining = flags.FLAGS(argv)
    except flags.Error as error:
        _exit_with("error", f"{error} (--help lists the flags)", USER_ERROR_CODE)
    if len(remaining) > 1 and not positional:
        _exit_with(
            "error",
            f"unexpected argument {remaining[1]!r}: every argument is a --flag=value",
            USER_ERROR_CODE,
        )
    return remaining


def _guarded(main: Main, argv: Sequence[str], endings: Endings) -> None:
    paths.enter_working_directory()
    _set_up_log()
    # A terminal may not know a character; stderr replaces it by itself.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    foreseen: tuple[type[BaseException], ...] = (Exception, *endings)
    try:
        main(argv)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED_CODE)
    except foreseen as error:
        for kind, (label, code) in endings.items():
            if isinstance(error, kind):
                _exit_with(label, str(error), code)
        user_error = _user_error(error)
        if user_error is None:
            raise
        _exit_with("error", str(user_error), USER_ERROR_CODE)


def _user_error(error: BaseException) -> UserError | None:
    of_tensorflow = type(error).__module__.startswith("tensorflow.")
    if (
        isinstance(error, OSError)
        and error.errno in _NO_ROOM
        or (of_tensorflow and any(os.strerror(number) in str(error) for number in _NO_ROOM))
    ):
        return UserError(f"the disk refuses to take more: {str(error):.300}")
    return user_error_in(error) if of_tensorflow or isinstance(error, UserError) else None


def _exit_with(label: str, message: str, code: int) -> NoReturn:
    print(f"{label}: {one_line(message)}", file=sys.stderr)
    sys.exit(code)
