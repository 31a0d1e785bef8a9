"""Paths given on a command line, the same with and without Bazel."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from sact_tf.errors import UserError
from sact_tf.text import displayed


def enter_working_directory() -> None:
    """Returns to the directory the user called from.

    `bazel run` starts programs inside its own tree of links; relative output paths would end there.
    """
    directory = os.environ.get("BUILD_WORKING_DIRECTORY")
    if directory:
        os.chdir(directory)


def find_input(path: str | os.PathLike) -> pathlib.Path:
    """Finds a file or directory that the user named.

    Relative paths are tried from the current directory, then from the top of the project, so that
    `--config=configs/quickstart.yaml` works from anywhere; `~` is expanded.

    Args:
        path: path of an existing file or directory.

    Returns:
        The first candidate that exists.

    Raises:
        UserError: nothing is there; names the path and the directories that were searched.
    """
    wanted = _given(path, "a file or directory")
    roots = [pathlib.Path.cwd()]
    if not wanted.is_absolute():
        workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
        roots += [pathlib.Path(workspace)] if workspace else []
        roots.append(pathlib.Path(__file__).absolute().parent.parent)
    for root in roots:
        if (root / wanted).exists():
            return root / wanted
    if wanted.is_absolute():
        raise UserError(f"{path}: no such file or directory")
    searched = ", ".join(str(root) for root in dict.fromkeys(roots))
    raise UserError(f"{path}: no such file or directory; looked in {searched}")


def output_directory(flag: str, path: str | os.PathLike) -> pathlib.Path:
    """The directory that the user wants results in; `~` is expanded, nothing is made.

    Args:
        flag: name of the flag that gave it, without the dashes.
        path: the flag's value.

    Raises:
        UserError: it is a file, or empty.
    """
    directory = _given(path, f"--{flag}")
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--{flag}: {directory} is a file, expected a directory")
    return directory


def output_file(flag: str, path: str | os.PathLike) -> pathlib.Path:
    """The file that the user wants something written to; `~` is expanded, nothing is made.

    Args:
        flag: name of the flag that gave it, without the dashes.
        path: the flag's value.

    Raises:
        UserError: it is a directory, or empty.
    """
    file = _given(path, f"--{flag}")
    if file.is_dir():
        raise UserError(f"--{flag}: {file} is a directory, expected a file")
    return file


def check_encoding(path: pathlib.Path) -> None:
    """Raises a `UserError` if TensorFlow cannot write to a path, which it does in UTF-8 alone."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(
            f"{displayed(str(path))}: TensorFlow writes to paths of UTF-8 only"
        ) from None


@contextlib.contextmanager
def writing(flag: str, path: str | os.PathLike) -> Iterator[None]:
    """Around the code that writes to where a flag says: its `OSError` becomes a `UserError`.

    Args:
        flag: name of the flag that gave the path, without the dashes.
        path: the flag's value.

    Raises:
        UserError: the body could not write; names the flag.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--{flag}={path}: cannot be written: {reason}") from None


def _given(path: str | os.PathLike, name: str) -> pathlib.Path:
    # To pathlib nothing is the current directory, which nobody meant who typed --model="$MODEL".
    if not os.fspath(path):
        raise UserError(f"{name}: expected a path, received an empty text")
    return pathlib.Path(path).expanduser()
