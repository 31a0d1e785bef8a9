"""What tells one data set from another: its classes and its files."""

import base64
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass
class DataIdentity:
    """The classes and the files of a data set, short enough to be kept with a run.

    Where the files lie is no part of it: a copy at another place is the same data set.

    Attributes:
        num_classes: how many.
        class_names: by label, or None.
        category_ids: what the source calls the classes, by label, or None.
        files: by split, uint64, one hash for each file, ascending (see `hashed`); no entry for a
            split whose files are not known.
    """

    num_classes: int
    class_names: list[str] | None = None
    category_ids: list[int] | None = None
    files: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def classes_digest(self) -> str:
        """Hexadecimal; the same for the same classes in the same order."""
        ids = self.category_ids
        content = [self.num_classes, self.class_names and list(self.class_names), ids and list(ids)]
        return hashlib.sha256(repr(content).encode("utf-8", "surrogateescape")).hexdigest()

    def files_digest(self, split: str) -> str:
        """Hexadecimal; the same for the same files, in whatever order."""
        return hashlib.sha256(self.files[split].astype("<u8").tobytes()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """A form for JSON; see `from_dict`."""
        return {
            "num_classes": self.num_classes,
            "class_names": None if self.class_names is None else list(self.class_names),
            "category_ids": None if self.category_ids is None else list(self.category_ids),
            "classes_digest": self.classes_digest,
            "files": {
                split: {
                    "count": len(hashes),
                    "digest": self.files_digest(split),
                    "hashes": base64.b64encode(hashes.astype("<u8").tobytes()).decode("ascii"),
                }
                for split, hashes in self.files.items()
            },
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "DataIdentity":
        """Reads what `as_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            content["num_classes"],
            content["class_names"],
            content["category_ids"],
            {
                split: np.frombuffer(base64.b64decode(files["hashes"]), "<u8").astype(np.uint64)
                for split, files in content["files"].items()
            },
        )


def hashed(files: Iterable[bytes]) -> np.ndarray:
    """Hashes of what tells each file of a split from others, such as its name and its size.

    Returns:
        uint64 [files], ascending.
    """
    digests = (hashlib.blake2b(file, digest_size=8).digest() for file in files)
    return np.sort(np.frombuffer(b"".join(digests), "<u8").astype(np.uint64))
