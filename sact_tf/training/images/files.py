"""The image files that a program works on, and those that it has to skip."""

import glob
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from sact_tf.data.images import EXTENSIONS
from sact_tf.data.listing.image_listing import ImageListing, is_hidden_folder
from sact_tf.errors import UserError

Result = TypeVar("Result")


class ImageFiles:
    """The files that `--images` means.

    Args:
        pattern, flag: a path, a pattern or a folder, and what it was given as: see `find_images`.

    Attributes:
        paths: the files, sorted.
        skipped: why a file is left out, by its path.

    Raises:
        UserError: there are none.
    """

    def __init__(self, pattern: str, flag: str = "images"):
        self.paths = find_images(pattern, flag)
        self.skipped: dict[str, str] = {}

    def for_each(
        self, function: Callable[[pathlib.Path], Result]
    ) -> Iterator[tuple[pathlib.Path, Result]]:
        """Yields (path, `function(path)`) of each file that was not skipped before.

        A file for which it raises `UserError` is named on stderr and skipped.
        """
        for path in self.paths:
            if str(path) in self.skipped:
                continue
            try:
                result = function(path)
            except UserError as error:
                print(f"skipped: {error}", file=sys.stderr, flush=True)
                self.skipped[str(path)] = str(error)
            else:
                yield path, result

    def report_skipped(self) -> int:
        """Says on stderr how many files were skipped, if any were, and returns the number."""
        if self.skipped:
            print(f"{len(self.skipped)} of {len(self.paths)} files skipped", file=sys.stderr)
        return len(self.skipped)


def find_images(pattern: str, flag: str = "images") -> list[pathlib.Path]:
    """Lists the files that a path, a pattern or a folder (with its sub-folders) means, sorted.

    Of a folder the files that are images by their names, as for training (see `ImageListing`); what
    else is there is counted on stderr. Files that are named, or that a pattern matches, are all
    taken, unless they are in a folder that programs keep for themselves; each of them once.

    Args:
        pattern: what a flag has.
        flag: its name, for messages.

    Raises:
        UserError: there are none.
    """
    if not pattern:
        raise UserError(f"--{flag}: expected a file, a pattern or a folder, received an empty text")
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
        listing = ImageListing({"": path})
        passed_over = "; ".join(listing.passed_over())
        if not listing.images[""]:
            raise UserError(
                f"--{flag}={pattern}: there are no images in the folder (looked for files ending "
                f"in {', '.join(sorted(EXTENSIONS))})" + (passed_over and f"; {passed_over}")
            )
        if passed_over:
            print(f"passed over in {path}: {passed_over}", file=sys.stderr, flush=True)
        return [pathlib.Path(file) for file in listing.images[""]]
    if path.exists():
        # What exists is no pattern, even where it looks like one: photo [1].png.
        files = [path] if path.is_file() else []
    else:
        folder = next(part for part in (path, *path.parents) if part.exists())
        files = _matching(folder, str(path.relative_to(folder)))
    if not files:
        raise UserError(f"--{flag}={pattern}: no such file, and nothing matches")
    return sorted(files)


def _matching(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """The files below a folder that a pattern matches, each once, outside of hidden folders."""
    named = pathlib.Path(pattern).parts
    files: dict[str, str] = {}
    for name in glob.glob(pattern, root_dir=folder, recursive=True):
        parents = pathlib.Path(name).parts[:-1]
        is_hidden = any(is_hidden_folder(part) for part in parents if part not in named)
        if (folder / name).is_file() and not is_hidden:
            # Of two names of a file the shorter one: links may go round in circles.
            real = os.path.realpath(folder / name)
            files[real] = min(files.get(real, name), name, key=lambda n: (n.count(os.sep), n))
    return [folder / name for name in files.values()]
