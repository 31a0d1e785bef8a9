"""Where the image files are that annotations name."""

import functools
import os
import pathlib
from collections.abc import Sequence

from sact_tf.detection.data.annotated_image import AnnotatedImage
from sact_tf.errors import UserError


def existing_name(folder: pathlib.Path, name: str) -> str:
    """The name of an image as it is there: `a/b.jpg` where `a\\b.jpg` of Windows is not."""
    slashed = name.replace("\\", "/")
    # Of a name too long for a file pathlib would raise.
    if slashed == name or os.path.isfile(folder / name) or not os.path.isfile(folder / slashed):
        return name
    return slashed


def found_instead(folder: pathlib.Path, name: str) -> str:
    """What stands beside a name that is not there, for the end of a message; empty if nothing.

    That is the same name without its first folders, or with a suffix of the other case.
    """
    parts = pathlib.PurePosixPath(name.replace("\\", "/")).parts
    for start in range(len(parts)):
        root, suffix = os.path.splitext(folder.joinpath(*parts[start:]))
        for path in (root + suffix, root + suffix.lower(), root + suffix.upper()):
            if os.path.isfile(path):
                return f"; there is {path}"
    return ""


def check_apart(train: Sequence[str], validation: Sequence[str]) -> None:
    """Raises a `UserError` if a file is in both splits; takes what `real_paths` gives."""
    known = set(train)
    shared = [path for path in validation if path in known]
    if shared:
        raise UserError(
            f"{len(shared)} of {len(validation)} held-out images are trained on, too, the first is "
            f"{shared[0]}; validation_annotations must not name files of train_annotations"
        )


def files_of_several(images: Sequence[AnnotatedImage], paths: Sequence[str]) -> str:
    """A line on the files that stand under several image ids; empty if there are none.

    Args:
        images: of one split.
        paths: of each image, as `real_paths` gives it.
    """
    ids: dict[str, list[int]] = {}
    for image, real in zip(images, paths, strict=True):
        ids.setdefault(real, []).append(image.image_id)
    several = {real: numbers for real, numbers in ids.items() if len(numbers) > 1}
    if not several:
        return ""
    real, numbers = next(iter(several.items()))
    return (
        f"{len(several)} of {len(ids)} image files stand under several ids, each with boxes of its "
        f"own, such as {real} (images {', '.join(map(str, numbers[:3]))}"
        f"{', ...' if len(numbers) > 3 else ''})"
    )


def real_paths(paths: Sequence[str]) -> list[str]:
    """Paths without links and detours; few look-ups where many files are in few folders."""
    folder = functools.cache(os.path.realpath)

    def real(path):
        if os.path.islink(path):
            return os.path.realpath(path)
        return os.path.join(folder(os.path.dirname(path)), os.path.basename(path))

    return list(map(real, paths))
