"""Which files a `--images` means."""

import glob
import pathlib

from sact_tf.errors import UserError


def find_images(pattern: str) -> list[pathlib.Path]:
    """Lists the files that a path, a pattern or a folder (with its sub-folders) means, sorted.

    Raises:
        UserError: there are none.
    """
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
        inside = [(p, p.relative_to(path).parts) for p in path.rglob("*")]
        found = [p for p, parts in inside if not any(part.startswith(".") for part in parts)]
    else:
        found = [pathlib.Path(p) for p in glob.glob(str(path), recursive=True)]
    files = sorted(p for p in found if p.is_file())
    if not files:
        raise UserError(f"--images={pattern}: no such file, and nothing matches")
    return files
