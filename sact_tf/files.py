"""Writing files so that a reader never sees half of one."""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary path that becomes `path` if the body succeeds.

    The temporary file stands in the same directory (a rename across file systems is not atomic) and
    keeps the file extension, because many writers choose their format by it. The directory is made
    if it is missing. If the body raises, the temporary file is deleted and an existing `path` stays
    as it was.

    Args:
        path: the file to write.

    Yields:
        The path to write to. Nothing exists there yet.

    Raises:
        FileNotFoundError: the body ended without writing the file.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """`atomic_path` for a new directory: gives an empty one that becomes `path`.

    Args:
        path: the directory to make. Nothing, or an empty directory, may be there.

    Yields:
        The directory to fill, beside `path`.

    Raises:
        OSError: `path` is there already when the body has ended, and is not empty.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def atomic_write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def atomic_write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all.

    Raises:
        TypeError: something in `value` has no JSON form.
        ValueError: a float is NaN or infinite, which JSON cannot say.
    """
    atomic_write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
