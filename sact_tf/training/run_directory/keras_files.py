"""Loading `.keras` files that may come from anybody."""

import os
import pathlib
import zipfile
from typing import TypeVar

import keras

from sact_tf.errors import UserError
from sact_tf.text import one_line

ModelT = TypeVar("ModelT", bound=keras.Model)


def load_keras_file(path: str | os.PathLike, expected: type[ModelT]) -> ModelT:
    """Loads a `.keras` file without running any code that is in it, and without compiling.

    Keras' safe mode refuses lambdas and other pickled code; classes must be registered.

    Args:
        path: of the file.
        expected: class of the model.

    Raises:
        UserError: it is no such file, damaged, not safe, or holds another model; names the path.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise UserError(f"{path}: expected a .keras file, a run directory or a checkpoint")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    # A foreign or damaged archive makes Keras and h5py raise whatever they meet on the way.
    except Exception as error:
        reason = one_line(error)[:200]
        raise UserError(f"{path}: cannot be loaded: {reason}") from error
    if not isinstance(model, expected):
        article = "an" if expected.__name__[0] in "AEIOU" else "a"
        raise UserError(
            f"{path}: expected {article} {expected.__name__}, found a {type(model).__name__}"
        )
    return model
