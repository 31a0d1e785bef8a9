"""Loading `.keras` files that may come from anybody."""

import os
import pathlib
import zipfile

import keras

from sact_tf.errors import UserError
from sact_tf.text import one_line


def load_keras_file(path: str | os.PathLike) -> keras.Model:
    """Loads a `.keras` file without running any code that is in it, and without compiling.

    Keras' safe mode refuses lambdas and other pickled code; classes must be registered.

    Raises:
        UserError: it is no such file, damaged, or not safe; names the path.
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
    if not isinstance(model, keras.Model):
        raise UserError(f"{path}: expected a model, found a {type(model).__name__}")
    return model
