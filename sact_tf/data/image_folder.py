"""A folder of images with one sub-folder per class."""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from sact_tf.data.checks import check_split
from sact_tf.data.classification_data import IndexedClassificationData
from sact_tf.data.images import EXTENSIONS, is_image_name, read_image
from sact_tf.data.pipeline import trial_reading
from sact_tf.errors import UserError

_DEFAULT_VALIDATION_FRACTION = 0.1


class ImageFolder(IndexedClassificationData):
    """Images in one sub-folder per class, whose name is the name of the class.

    Labels follow the sorted names. Sub-folders may hold further folders; hidden files and files
    that are not images are not looked at. Every epoch is a permutation of all images.

    Up to 50,000 files of 1 GiB together are decoded once at construction, on all cores, so that a
    damaged one is reported before training starts; in larger folders it is met while training.

    Args:
        train_dir: the folder.
        validation_dir: a folder with held-out images and the same classes (not all must be there).
        validation_fraction: share of every class that is held out from `train_dir` where there is
            no `validation_dir`; 0.1 by default. Which images is decided by a hash of their names:
            it is the same in each run and does not change with the order of a listing.
        preprocessing: see `sact_tf.data.preprocessing`.
        skip_corrupt: whether to count and skip images that cannot be read instead of stopping.
            Those found at construction are out of `num_examples`; see `IndexedData`
            for the others.
        check_files: whether to decode all files at construction; by size, as above, if None.

    Raises:
        UserError: a folder is missing, has no classes, or a class has no images; a file cannot be
            decoded; an argument is out of its range.
    """

    class_names: list[str]

    def __init__(
        self,
        train_dir: str | os.PathLike,
        validation_dir: str | os.PathLike | None = None,
        validation_fraction: float | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        skip_corrupt: bool = False,
        check_files: bool | None = None,
    ):
        if validation_dir is not None and validation_fraction is not None:
            raise UserError(
                "Expected validation_dir or validation_fraction, received both "
                f"({os.fspath(validation_dir)!r} and {validation_fraction!r})"
            )
        train_dir = pathlib.Path(train_dir).expanduser()
        if validation_dir is not None:
            validation_dir = pathlib.Path(validation_dir).expanduser()
        if validation_fraction is None:
            validation_fraction = _DEFAULT_VALIDATION_FRACTION
        if not 0 < validation_fraction < 1:
            raise UserError(
                "Expected validation_fraction to be between 0 and 1, "
                f"received {validation_fraction!r}"
            )
        train = _list_classes(train_dir)
        if validation_dir is None:
            train, validation = _hold_out(pathlib.Path(train_dir), train, validation_fraction)
        else:
            validation = _list_classes(validation_dir)
            _check_known(validation, train, validation_dir, train_dir)

        class_names = sorted(train)
        super().__init__(
            len(class_names),
            class_names,
            preprocessing or {"name": "imagenet", "image_size": 224},
            skip_corrupt,
        )
        self._files = {}
        for split, classes in (("train", train), ("validation", validation)):
            self._files[split] = [
                (path, label)
                for label, name in enumerate(class_names)
                for path in classes.get(name, ())
            ]
        if check_files or check_files is None and self._is_small():
            self._check_files()

    def num_examples(self, split: str) -> int:
        return len(self._files[check_split(split)])

    def _read(self, split: str, index: int) -> tuple[np.ndarray, int]:
        path, label = self._files[split][index]
        return read_image(path), label

    def _path(self, split: str, index: int) -> str:
        return self._files[split][index][0]

    def _is_small(self) -> bool:
        paths = [path for files in self._files.values() for path, _ in files]
        return trial_reading.are_few(paths)

    def _check_files(self) -> None:
        """Decodes every image; reports, or takes out, those that cannot be read."""
        paths = [path for files in self._files.values() for path, _ in files]
        found = trial_reading.unreadable(lambda index: read_image(paths[index]), len(paths))
        errors = {paths[index]: error for index, error in found.items()}
        if not errors:
            return
        if not self._corrupt.skip:
            trial_reading.refuse(errors, len(paths))
        first = next(iter(errors.values()))
        for split, files in self._files.items():
            self._files[split] = [file for file in files if file[0] not in errors]
        readable = {label for _, label in self._files["train"]}
        for label, name in enumerate(self.class_names):
            if label not in readable:
                raise UserError(f"Class {name!r} has no readable training image; {first}")
        self._corrupt.update({path: str(error) for path, error in errors.items()})
        trial_reading.warn_of_skipped(errors, len(paths))


def _list_classes(folder: str | os.PathLike) -> dict[str, list[str]]:
    """The sorted image files of each sub-folder."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not _is_ignored(entry.name)
    )
    if not names:
        raise UserError(
            f"{folder}: the folder has no sub-folders; expected one sub-folder of images per class"
        )
    classes = {}
    for name in names:
        classes[name] = sorted(
            os.path.join(parent, file)
            for parent, _, files in os.walk(folder / name, followlinks=True)
            for file in files
            if is_image_name(file)
        )
        if not classes[name]:
            raise UserError(
                f"{folder / name}: the class has no images "
                f"(looked for files ending in {', '.join(sorted(EXTENSIONS))})"
            )
    return classes


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "@eaDir")


def _hold_out(
    folder: pathlib.Path, classes: dict[str, list[str]], fraction: float
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Divides the images of each class into training and held-out ones."""

    def hashed(path):
        return hashlib.sha256(os.fsencode(os.path.relpath(path, folder))).digest()

    train, validation = {}, {}
    for name, paths in classes.items():
        count = min(round(len(paths) * fraction), len(paths) - 1)
        held_out = set(sorted(paths, key=hashed)[:count])
        train[name] = [path for path in paths if path not in held_out]
        validation[name] = [path for path in paths if path in held_out]
    if not any(validation.values()):
        raise UserError(
            f"{folder}: validation_fraction={fraction} of each class is less than one image; "
            "give a larger one, or validation_dir"
        )
    return train, validation


def _check_known(validation, train, validation_dir, train_dir) -> None:
    unknown = sorted(set(validation) - set(train))
    if unknown:
        raise UserError(
            f"{pathlib.Path(validation_dir) / unknown[0]}: {train_dir} has no class of that name "
            f"(it has {', '.join(sorted(train))})"
        )
