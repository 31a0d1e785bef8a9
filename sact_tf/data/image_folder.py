"""A folder of images with one sub-folder per class."""

import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.checks import check_split
from sact_tf.data.classification_data import IndexedClassificationData
from sact_tf.data.identity import DataIdentity, hashed
from sact_tf.data.images import read_image
from sact_tf.data.listing.class_folders import ClassFolders, check_apart, check_known, hold_out
from sact_tf.data.listing.copies import warn_of_copies
from sact_tf.data.listing.object_boxes import ObjectBoxes
from sact_tf.data.pipeline import trial_reading
from sact_tf.data.pipeline.grey_levels import GreyLevels
from sact_tf.errors import UserError

_logger = logging.getLogger(__name__)

_DEFAULT_VALIDATION_FRACTION = 0.1
_LISTED = 10


class ImageFolder(IndexedClassificationData):
    """Images in one sub-folder per class, whose name is the name of the class.

    Labels follow the sorted names. Sub-folders may hold further folders; what is an image there
    says `ImageListing`. Every epoch is a permutation of all images.

    Up to 50,000 files of 1 GiB together are decoded once at construction, on all cores, so that a
    damaged one is reported before training starts; in larger folders it is met while training.

    Args:
        train_dir: the folder.
        validation_dir: a folder with held-out images and the same classes (not all must be there),
            apart from `train_dir`.
        validation_fraction: chance of every image to be held out from `train_dir` where there is no
            `validation_dir`; 0.1 by default. A hash of its name decides about each, so that it
            stays where it is when others come or go; only a class that would be held out as a whole
            keeps one image for training.
        preprocessing: see `sact_tf.data.preprocessing`.
        skip_corrupt: whether to count and skip images that cannot be read instead of stopping.
            Those found at construction are out of `num_examples`; see `IndexedData`
            for the others.
        check_files: whether to decode all files at construction; by size, as above, if None.
        boxes: JSON file that says where the objects are on the held-out images, see `ObjectBoxes`;
            evaluation then gives them as "box". Its part `val` or `validation` counts, or `train`
            where the held-out images are of `train_dir`.

    Raises:
        UserError: a folder is missing, has no classes, or a class has no images; the folders
            overlap; a file cannot be decoded; the boxes do not fit; an argument is out of its
            range.
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
        boxes: str | os.PathLike | None = None,
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
        classes = ClassFolders(train_dir)
        self._roots = {"train": classes.folder, "validation": classes.folder}
        if validation_dir is None:
            classes.require_images()
            train, validation = hold_out(classes, validation_fraction)
        else:
            others = ClassFolders(validation_dir)
            check_apart(classes, others)
            classes.require_images()
            check_known(others, classes)
            self._roots["validation"] = others.folder
            train, validation = classes.images, others.images
            if not any(validation.values()):
                raise UserError(f"{validation_dir}: there are no images in the folders of classes")

        class_names = sorted(train)
        super().__init__(
            len(class_names),
            class_names,
            preprocessing or {"name": "imagenet", "image_size": 224},
            skip_corrupt,
        )
        self._files = {}
        for split, images in (("train", train), ("validation", validation)):
            self._files[split] = [
                (path, label)
                for label, name in enumerate(class_names)
                for path in images.get(name, ())
            ]
        self._boxes = None if boxes is None else self._read_boxes(boxes, validation_dir is None)
        levels = GreyLevels()
        if check_files or check_files is None and self._is_small():
            self._check_files(levels)
        else:
            levels.look_at_sample(lambda i: self._look_at(i, levels), self.num_examples("train"))
        levels.warn()
        self._say_what_is_not_held_out()
        warn_of_copies(*([path for path, _ in files] for files in self._files.values()))

    def num_examples(self, split: str) -> int:
        return len(self._files[check_split(split)])

    def identity(self) -> DataIdentity:
        """The classes, and the names below the folders and sizes of the files."""
        files = {
            split: hashed(
                b"%s %d" % (os.fsencode(os.path.relpath(path, self._roots[split])), _size(path))
                for path, _ in files
            )
            for split, files in self._files.items()
        }
        return DataIdentity(self.num_classes, self.class_names, files=files)

    def _read(self, split: str, index: int) -> tuple[np.ndarray, int]:
        path, label = self._files[split][index]
        return read_image(path), label

    def _path(self, split: str, index: int) -> str:
        return self._files[split][index][0]

    def _arrays(self, split: str, index: int) -> Sequence[Any]:
        arrays = super()._arrays(split, index)
        return (
            arrays if self._boxes is None else [*arrays, self._boxes.box(self._path(split, index))]
        )

    def _read_boxes(self, file: str | os.PathLike, of_train_dir: bool) -> ObjectBoxes:
        self._signature = {**self._signature, "box": tf.TensorSpec([4], tf.float32)}
        return ObjectBoxes(
            file,
            self._roots["validation"],
            [path for path, _ in self._files["validation"]],
            [path for path, _ in self._files["train"]] if of_train_dir else [],
            ["train"] if of_train_dir else ["val", "validation"],
        )

    def _say_what_is_not_held_out(self) -> None:
        held_out = {label for _, label in self._files["validation"]}
        without = [name for label, name in enumerate(self.class_names) if label not in held_out]
        if without:
            _logger.warning(
                "%d of %d classes have no held-out images, hence no accuracy: %s%s",
                len(without),
                self.num_classes,
                ", ".join(without[:_LISTED]),
                ", ..." if len(without) > _LISTED else "",
            )

    def _is_small(self) -> bool:
        paths = [path for files in self._files.values() for path, _ in files]
        return trial_reading.are_few(paths)

    def _look_at(self, index: int, levels: GreyLevels) -> None:
        path, _ = self._files["train"][index]
        levels.look_at(path, read_image(path))

    def _check_files(self, levels: GreyLevels) -> None:
        """Decodes every image; reports, or takes out, those that cannot be read."""
        paths = [path for files in self._files.values() for path, _ in files]
        num_train = self.num_examples("train")

        def read(index: int) -> None:
            if index < num_train:
                self._look_at(index, levels)
            else:
                read_image(paths[index])

        found = trial_reading.unreadable(read, len(paths))
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


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # A dangling link; reading it says what is wrong.
        return 0
