"""Held-out files whose very content is trained on."""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence

_logger = logging.getLogger(__name__)

_COMPARED_FILES = 50_000
_COMPARED_BYTES = 2**30
_SHOWN = 3


def warn_of_copies(train: Sequence[str], validation: Sequence[str]) -> None:
    """Warns once, with the number, of held-out files that have the content of training files.

    Only files of the same size are read. Nothing is compared where there are more than 50,000
    files, or more than 1 GiB to read.

    Args:
        train, validation: paths; those that are not there are left out.
    """
    if len(train) + len(validation) > _COMPARED_FILES:
        return
    sizes = dict(_sizes(train)), dict(_sizes(validation))
    shared = set(sizes[0].values()) & set(sizes[1].values())
    candidates = [{p: n for p, n in side.items() if n in shared} for side in sizes]
    if sum(sum(side.values()) for side in candidates) > _COMPARED_BYTES:
        return
    known = {_digest(path): path for path in candidates[0]}
    copies = [(path, twin) for path in candidates[1] if (twin := known.get(_digest(path)))]
    if copies:
        shown = "; ".join(f"{path} is {twin}" for path, twin in copies[:_SHOWN])
        _logger.warning(
            "%d of %d held-out images have the same content as training images, so that they "
            "say little of new ones: %s%s",
            len(copies),
            len(validation),
            shown,
            "; ..." if len(copies) > _SHOWN else "",
        )


def _sizes(paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    for path in paths:
        try:
            yield path, os.path.getsize(path)
        except OSError:
            continue


def _digest(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return os.fsencode(path)  # Unlike any other file's.
