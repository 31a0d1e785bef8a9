"""Folders of images with one sub-folder per class, and how two of them go together."""

import hashlib
import logging
import os
import pathlib

from sact_tf.data.images import EXTENSIONS, is_image_name
from sact_tf.data.listing.image_listing import ImageListing, is_hidden_folder
from sact_tf.errors import UserError
from sact_tf.text import has_line_break

_logger = logging.getLogger(__name__)

_SPLIT_NAMES = frozenset(
    "dev eval held_out test testing train training val valid validation".split()
)


class ClassFolders:
    """The image files of each sub-folder of a folder.

    Attributes:
        folder: the folder.
        images: by class, sorted paths; classes without images are there.
        real_paths: see `ImageListing`.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        if not self.folder.is_dir():
            what = "not a folder" if self.folder.exists() else "no such folder"
            raise UserError(f"{folder}: {what}")
        entries = sorted(self.folder.iterdir(), key=lambda entry: entry.name)
        folders = {e.name: e for e in entries if e.is_dir() and not is_hidden_folder(e.name)}
        if not folders:
            raise UserError(
                f"{folder}: the folder has no sub-folders; expected one sub-folder of images per "
                "class"
            )
        for name in filter(has_line_break, folders):
            raise UserError(
                f"{str(self.folder / name)!r}: expected the name of a class's folder to be one line"
            )
        listing = ImageListing(folders)
        self.images, self.real_paths = listing.images, listing.real_paths
        self._say_what_is_strange(entries, listing.passed_over())

    def require_images(self) -> None:
        """Raises a `UserError` if a class has none."""
        for name, paths in self.images.items():
            if not paths:
                raise UserError(
                    f"{self.folder / name}: the class has no images "
                    f"(looked for files ending in {', '.join(sorted(EXTENSIONS))}, each of them "
                    "once, whatever links lead to it)"
                )

    def _say_what_is_strange(self, entries: list[pathlib.Path], passed_over: list[str]) -> None:
        dangling = [entry.name for entry in entries if entry.is_symlink() and not entry.exists()]
        if dangling:
            _logger.warning(
                "%s: links that lead nowhere, hence no classes: %s",
                self.folder,
                ", ".join(dangling),
            )
        splits = [name for name in self.images if name.lower() in _SPLIT_NAMES]
        if splits:
            _logger.warning(
                "%s: %s taken for a class each, but named like parts of a data set; if they are "
                "that, give one of them as train_dir and another as validation_dir",
                self.folder,
                ", ".join(splits),
            )
        beside = sum(is_image_name(entry.name) and entry.is_file() for entry in entries)
        if beside:
            images = "1 image" if beside == 1 else f"{beside} images"
            passed_over = [f"{images} beside the folders of the classes", *passed_over]
        if passed_over:
            _logger.warning("%s: passed over: %s", self.folder, "; ".join(passed_over))


def hold_out(
    classes: ClassFolders, fraction: float
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Divides the images of each class into training and held-out ones.

    Args:
        classes: with images in each.
        fraction: an image is held out if the hash of its name, in [0, 1), is below.

    Returns:
        The paths of the training and of the held-out images, by class.

    Raises:
        UserError: none is held out.
    """

    def hashed(path):
        digest = hashlib.sha256(os.fsencode(os.path.relpath(path, classes.folder))).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    train, validation = {}, {}
    for name, paths in classes.images.items():
        hashes = {path: hashed(path) for path in paths}
        last = max(paths, key=hashes.__getitem__)  # Of a class that would be held out as a whole.
        validation[name] = [p for p in paths if hashes[p] < fraction and p != last]
        train[name] = [p for p in paths if hashes[p] >= fraction or p == last]
    if not any(validation.values()):
        raise UserError(
            f"{classes.folder}: validation_fraction={fraction} holds out none of the "
            f"{sum(map(len, train.values()))} images (a hash of its name decides about each); give "
            "a larger one, or validation_dir"
        )
    return train, validation


def check_apart(train: ClassFolders, validation: ClassFolders) -> None:
    """Raises a `UserError` if the splits share folders or files."""
    ours, theirs = (os.path.realpath(classes.folder) for classes in (train, validation))
    if ours == theirs:
        raise UserError(
            f"validation_dir={validation.folder} is train_dir; held-out images must not be "
            "trained on. Give another folder, or validation_fraction"
        )
    names = f"validation_dir={validation.folder}", f"train_dir={train.folder}"
    for outer, (inside, around) in ((ours, names), (theirs, names[::-1])):
        if os.path.commonpath([ours, theirs]) == outer:
            raise UserError(
                f"{inside} lies inside {around}, where it would be a class; give folders beside "
                "each other, such as photos/train and photos/validation"
            )
    known = {real: path for path, real in train.real_paths.items()}
    shared = [path for path, real in validation.real_paths.items() if real in known]
    if shared:
        example = known[validation.real_paths[shared[0]]]
        raise UserError(
            f"{len(shared)} of {len(validation.real_paths)} images of validation_dir are images of "
            f"train_dir, too, by a link: {shared[0]} is {example}"
        )


def check_known(validation: ClassFolders, train: ClassFolders) -> None:
    """Raises a `UserError` if there are held-out images of a class that is not trained."""
    unknown = sorted(name for name, paths in validation.images.items() if paths)
    unknown = [name for name in unknown if name not in train.images]
    if unknown:
        raise UserError(
            f"{validation.folder / unknown[0]}: {train.folder} has no class of that name "
            f"(it has {', '.join(sorted(train.images))})"
        )
