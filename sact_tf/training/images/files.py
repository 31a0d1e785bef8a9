"""The image files that a program works on, and those that it has to skip."""

import glob
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from sact_tf.errors import UserError

Result = TypeVar("Result")


class ImageFiles:
    """The files that `--images` means.

    Args:
        pattern: a path, a pattern or a folder, see `find_images`.

    Attributes:
        paths: the files, sorted.
        skipped: why a file is left out, by its path.

    Raises:
        UserError: there are none.
    """

    def __init__(self, pattern: str):
        self.paths = find_images(pattern)
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


def find_images(pattern: str) -> list[pathlib.Path]:
    """Lists the files that a path, a pattern or a folder (with its sub-folders) means, sorted.

    Raises:
        UserError: there are none.
    """
    if not pattern:
        raise UserError("--images: expected a file, a pattern or a folder, received an empty text")
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
        inside = [(p, p.relative_to(path).parts) for p in path.rglob("*")]
        found = [p for p, parts in inside if not any(part.startswith(".") for part in parts)]
    elif path.exists():
        found = [path]
    else:
        # What exists is no pattern, even where it looks like one: photo [1].png.
        folder = next(part for part in (path, *path.parents) if part.exists())
        rest = str(path.relative_to(folder))
        found = [folder / name for name in glob.glob(rest, root_dir=folder, recursive=True)]
    files = sorted(p for p in found if p.is_file())
    if not files:
        raise UserError(f"--images={pattern}: no such file, and nothing matches")
    return files
