"""Random access to the records of TFRecord files.

The format has no table of contents, but each record begins with its length, so one walk over the
headers finds them all. That is what makes a real permutation of a large data set possible, and a
start in the middle of an epoch that reads nothing of what is skipped.
"""

import os
import struct
import threading
from collections.abc import Sequence

import numpy as np

from sact_tf.errors import UserError

_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # Length and its checksum; checksum of the data.


class RecordFiles:
    """The records of some TFRecord files on a local disk, by number.

    Args:
        files: (path, skip, take, count) of each file: how many of its records to leave out at the
            start, how many to use after that, and how many there should be in all.

    Raises:
        UserError: a file is missing or has not the records it should have.
    """

    def __init__(self, files: Sequence[tuple[str, int, int, int]]):
        self._paths = [path for path, *_ in files]
        self._skips = [skip for _, skip, *_ in files]
        self._descriptors: dict[int, int] = {}
        self._lock = threading.Lock()
        offsets = [
            _record_offsets(path, count)[skip : skip + take] for path, skip, take, count in files
        ]
        self._offsets = np.concatenate([np.zeros([0, 2], np.int64), *offsets])
        self._starts = np.cumsum([0, *map(len, offsets)])

    def __len__(self) -> int:
        return len(self._offsets)

    def __del__(self):
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def place(self, index: int) -> str:
        """Names the file and the record in it."""
        file = self._file(index)
        return f"{self._paths[file]}: record {index - self._starts[file] + self._skips[file]}"

    def read(self, index: int) -> bytes:
        """Reads a record.

        Raises:
            UserError: the file has become unreadable.
        """
        offset, length = map(int, self._offsets[index])
        try:
            data = os.pread(self._descriptor(self._file(index)), length, offset)
        except OSError as error:
            raise UserError(f"{self.place(index)} cannot be read ({error.strerror})") from error
        if len(data) != length:
            raise UserError(f"{self.place(index)} is cut off")
        return data

    def _file(self, index: int) -> int:
        return int(np.searchsorted(self._starts, index, side="right")) - 1

    def _descriptor(self, file: int) -> int:
        with self._lock:
            if file not in self._descriptors:
                self._descriptors[file] = os.open(self._paths[file], os.O_RDONLY)
            return self._descriptors[file]


def _record_offsets(path: str, count: int) -> np.ndarray:
    """Where the data of each record begins, and its length: int64 [count, 2]."""
    found = np.empty([count, 2], np.int64)
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            offset = 0
            for index in range(count):
                header = os.pread(file.fileno(), _HEADER_BYTES, offset)
                if len(header) < _HEADER_BYTES:
                    raise UserError(f"{path}: expected {count} records, found {index}")
                length = struct.unpack_from("<Q", header)[0]
                found[index] = offset + _HEADER_BYTES, length if length <= size else -1
                offset += _HEADER_BYTES + length + _FOOTER_BYTES
                if offset > size:
                    raise UserError(f"{path}: record {index} of {count} is cut off or damaged")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return found
