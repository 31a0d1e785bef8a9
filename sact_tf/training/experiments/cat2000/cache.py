"""Per-image results on disk, so that an interrupted evaluation goes on where it stopped."""

import hashlib
import os
import pathlib
import zipfile

import numpy as np

from sact_tf.files import atomic_path


class ArrayCache:
    """One .npz file per image and key; whatever the result depends on must be in the key.

    Args:
        directory: where the files are; made when the first is written.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory)

    def load(self, name: str, key: str) -> np.ndarray | None:
        """The array saved under this name and key, or None. A damaged file counts as none."""
        try:
            with np.load(self._path(name, key)) as arrays:
                return arrays["value"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, name: str, key: str, value: np.ndarray) -> None:
        with atomic_path(self._path(name, key)) as temporary:
            np.savez_compressed(temporary, value=value)

    def _path(self, name: str, key: str) -> pathlib.Path:
        return self.directory / f"{name}.{key}.npz"


def digest(*parts: object) -> str:
    """16 hexadecimal digits that depend on every part: bytes as they are, anything else by repr."""
    state = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else repr(part).encode()
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
    return state.hexdigest()[:16]
