"""Finding and reading the files of a TensorFlow-1 checkpoint."""

import os
import pathlib
import re
import tarfile

import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.text import one_line


def find_prefix(path: str | os.PathLike) -> str:
    """Finds the checkpoint that a user means.

    Args:
        path: a prefix (`model.ckpt-1234`), one of the checkpoint's files, or a directory. In a
            directory the file `checkpoint` names the latest one; a directory that was moved, and
            one without that file but with a single checkpoint, are understood, too.

    Returns:
        The prefix, as `tf.train.load_checkpoint` takes it.

    Raises:
        UserError: there is no checkpoint, or a directory holds several and names none.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        return _latest_in(path)
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", str(path))
    if _exists(prefix):
        return prefix
    if path.is_file():
        if tarfile.is_tarfile(path):
            raise UserError(f"{path}: is an archive; unpack it and give the directory it holds")
        return str(path)  # TensorFlow's first format was a single file; the reader judges.
    raise UserError(f"{path}: no such checkpoint (expected {prefix}.index, or a directory)")


def read_variables(prefix: str) -> dict[str, np.ndarray]:
    """Reads every variable of a checkpoint, so that damage anywhere in it is noticed.

    Args:
        prefix: see `find_prefix`.

    Returns:
        Dict from name to value.

    Raises:
        UserError: the files are not a checkpoint, or damaged or incomplete.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    # For damaged files the reader raises tf.errors, RuntimeError, IndexError and others.
    except Exception as error:
        directory = os.path.join(os.path.dirname(prefix), "")
        reason = one_line(str(error).replace(directory, ""))  # its path may be long
        if len(reason) > 200:
            reason = reason[:200] + "..."
        raise UserError(f"{prefix}: cannot be read as a checkpoint ({reason})") from error


def _latest_in(directory: pathlib.Path) -> str:
    found = sorted(str(index)[: -len(".index")] for index in directory.glob("*.index"))
    try:
        state = tf.train.get_checkpoint_state(str(directory))
    except ValueError:  # A file `checkpoint` that is empty or no text.
        state = None
    if state is not None and state.model_checkpoint_path:
        named = pathlib.Path(state.model_checkpoint_path)
        for prefix in (str(named), str(directory / named.name)):
            if _exists(prefix):
                return prefix
        raise UserError(
            f"{directory}: its file 'checkpoint' names {named.name}, which is not there"
            + (f"; there is {_listing(found)}" if found else "")
        )
    if not found:
        raise UserError(f"{directory}: no checkpoint in this directory (no file *.index)")
    if len(found) > 1:
        raise UserError(
            f"{directory}: several checkpoints and no file 'checkpoint' that names one; give the "
            f"prefix of one of {_listing(found)}"
        )
    return found[0]


def _exists(prefix: str) -> bool:
    return os.path.isfile(prefix + ".index")


def _listing(prefixes) -> str:
    names = [os.path.basename(prefix) for prefix in prefixes]
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
