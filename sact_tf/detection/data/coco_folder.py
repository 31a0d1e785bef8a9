"""Data sets in COCO's format: a JSON file of annotations and a folder of images."""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sact_tf.data.checks import check_split
from sact_tf.data.identity import DataIdentity, hashed
from sact_tf.data.listing.copies import warn_of_copies
from sact_tf.data.pipeline import trial_reading
from sact_tf.data.pipeline.grey_levels import GreyLevels
from sact_tf.data.pipeline.remarks import Remarks
from sact_tf.detection.data.annotated_image import (
    AnnotatedImage,
    CocoAnnotations,
    coco_ground_truth,
    detection_example,
)
from sact_tf.detection.data.coco_annotations import has_area, read_annotations
from sact_tf.detection.data.coco_doubts import unused_categories
from sact_tf.detection.data.detection_data import DetectionData, DetectionExample
from sact_tf.detection.data.image_files import (
    check_apart,
    existing_name,
    files_of_several,
    found_instead,
    real_paths,
)
from sact_tf.errors import UserError
from sact_tf.images.decoding import decode_stored
from sact_tf.images.orientation import upright

_logger = logging.getLogger(__name__)

ORIENTATIONS = ("shown", "stored")


class CocoFolder(DetectionData):
    """COCO itself, or one's own images in its format.

    Classes are the categories in the order of their ids. Images without boxes are trained on as
    background. Boxes are cut off at the border of the image for training; evaluation takes them as
    they are annotated. Grey, transparent and other pictures become RGB (`read_image`); for those
    that a camera has marked as turned see `orientation`.

    All held-out images, and up to 50,000 training images of 1 GiB together, are read once at
    construction, so that a damaged one is reported before training starts. What is allowed but
    looks like a mistake is warned about, one line each.

    Args:
        train_annotations: JSON file, see `read_annotations`.
        train_images: folder that the file names are relative to; backslashes in them are read as
            slashes where only that is there.
        validation_annotations, validation_images: likewise, held out; with the same categories, and
            without images that are trained on. The folder of images may be the same.
        preprocessing: see `sact_tf.detection.preprocessing`.
        flip: whether training mirrors every other image.
        skip_corrupt: whether to count and skip images that are missing or cannot be read, instead
            of stopping.
        orientation: what boxes were drawn on where EXIF says that a picture is turned, and the
            annotated size does not tell (half-turned, mirrored and square pictures): on the picture
            as it is "shown" by viewers and by this package's predictions, or as it is "stored".

    Raises:
        UserError: something is missing, or makes no sense; names file, image and annotation.
    """

    def __init__(
        self,
        train_annotations: str | os.PathLike,
        train_images: str | os.PathLike,
        validation_annotations: str | os.PathLike,
        validation_images: str | os.PathLike,
        preprocessing: Mapping[str, Any],
        flip: bool = True,
        skip_corrupt: bool = False,
        orientation: str = "shown",
    ):
        if orientation not in ORIENTATIONS:
            raise UserError(
                f"Expected orientation to be one of {ORIENTATIONS}, got {orientation!r}"
            )
        self._orientation = orientation
        self._remarks = Remarks()
        train = read_annotations(train_annotations)
        validation = read_annotations(validation_annotations)
        _check_same_categories(train, validation)
        if os.path.realpath(train_annotations) == os.path.realpath(validation_annotations):
            raise UserError(
                f"validation_annotations={os.fspath(validation_annotations)} is the file of "
                "train_annotations; held-out images must not be trained on"
            )
        super().__init__(train.class_names, train.category_ids, preprocessing, flip, skip_corrupt)
        self._folders = {}
        self._annotations = {"train": train, "validation": validation}
        for split, folder in (("train", train_images), ("validation", validation_images)):
            self._folders[split] = pathlib.Path(folder).expanduser()
            if not self._folders[split].is_dir():
                raise UserError(f"{folder}: no such folder of images")
            for image in self._annotations[split].images:
                image.file_name = existing_name(self._folders[split], image.file_name)
            self._check_folder(split)
        unused = unused_categories(train)
        if unused:
            _logger.warning("%s: %s", train.path, unused)
        real = {split: real_paths(self._files(split)) for split in self._annotations}
        check_apart(real["train"], real["validation"])
        for split, annotations in self._annotations.items():
            line = files_of_several(annotations.images, real[split])
            if line:
                _logger.warning("%s: %s", annotations.path, line)
        # What is held out is read to the last image in any case, after all the training.
        self._take_out_unreadable("validation", self._read)
        self._look_at_training_images()
        self._remarks.say()
        warn_of_copies(self._files("train"), self._files("validation"))

    def identity(self) -> DataIdentity:
        """The categories, and of each image its name, its size and its annotations."""
        files = {}
        for split in ("train", "validation"):
            images = self._annotations[split].images
            files[split] = hashed(
                b"\0".join(
                    [
                        os.fsencode(image.file_name),
                        b"%d" % os.path.getsize(file),
                        *(part.tobytes() for part in (image.boxes, image.classes, image.crowd)),
                    ]
                )
                for image, file in zip(images, self._files(split), strict=True)
            )
        return dataclasses.replace(super().identity(), files=files)

    def num_examples(self, split: str) -> int:
        return len(self._annotations[check_split(split)].images)

    def ground_truth(self) -> dict[str, list[dict[str, Any]]]:
        annotations = self._annotations["validation"]
        return coco_ground_truth(annotations.images, self.category_ids, self.class_names)

    def _read(self, split: str, index: int) -> DetectionExample:
        image = self._annotations[split].images[index]
        source = self._path(split, index)
        try:
            with open(self._file(split, image), "rb") as file:
                data = file.read()
        except OSError as error:
            instead = found_instead(self._folders[split], image.file_name)
            raise UserError(f"{source}: cannot be read ({error.strerror}){instead}") from None
        pixels = self._decode(data, source, image)
        kept = np.ones([len(image.boxes)], bool)
        if image.height is None:  # Not checked when the annotations were read.
            height, width = pixels.shape[:2]
            where = f"{source}: a box"
            kept = np.array([has_area(box, height, width, where) for box in image.boxes], bool)
        return detection_example(image, pixels, kept)

    def _decode(self, data: bytes, source: str, image: AnnotatedImage) -> np.ndarray:
        annotated = (image.height, image.width) if image.height is not None else None
        pixels, warning = decode_as_annotated(data, source, annotated, self._orientation)
        if warning is not None:
            self._remarks.add(warning, source)
        return pixels

    def _path(self, split: str, index: int) -> str:
        image = self._annotations[split].images[index]
        return f"{self._file(split, image)} (image {image.image_id})"

    def _file(self, split: str, image: AnnotatedImage) -> pathlib.Path:
        return self._folders[split] / image.file_name

    def _files(self, split: str) -> list[str]:
        return [str(self._file(split, image)) for image in self._annotations[split].images]

    def _look_for(self, split: str, index: int) -> None:
        image = self._annotations[split].images[index]
        if not self._file(split, image).is_file():
            instead = found_instead(self._folders[split], image.file_name)
            raise UserError(f"{self._path(split, index)}: the file is missing{instead}")

    def _check_folder(self, split: str) -> None:
        """A folder without any of the files is the wrong one."""
        annotations = self._annotations[split]
        files = self._files(split)
        if files and not any(map(os.path.isfile, files)):
            name = annotations.images[0].file_name
            raise UserError(
                f"{self._folders[split]}: none of the {len(files)} images of {annotations.path} "
                f"is there, such as {name}{found_instead(self._folders[split], name)}"
            )

    def _look_at_training_images(self) -> None:
        """Reads all of them if they are few, else some."""
        levels = GreyLevels()

        def look(index: int) -> None:
            levels.look_at(self._path("train", index), self._read("train", index).image)

        if trial_reading.are_few(self._files("train")):
            self._take_out_unreadable("train", lambda _, index: look(index))
        else:
            self._take_out_unreadable("train", self._look_for)
            levels.look_at_sample(look, self.num_examples("train"))
        levels.warn()

    def _take_out_unreadable(self, split: str, read: Callable[[str, int], object]) -> None:
        """Reads every image; refuses, or takes out, those that cannot be read."""
        annotations = self._annotations[split]
        count = len(annotations.images)
        errors = trial_reading.unreadable(lambda index: read(split, index), count)
        if not errors:
            return
        if not self._corrupt.skip or len(errors) == count:
            trial_reading.refuse(errors, count)
        self._corrupt.update({self._path(split, i): str(error) for i, error in errors.items()})
        trial_reading.warn_of_skipped(errors, count)
        annotations.images = [im for i, im in enumerate(annotations.images) if i not in errors]


def decode_as_annotated(
    data: bytes, source: str, annotated: tuple[int | None, int | None] | None, orientation: str
) -> tuple[np.ndarray, str | None]:
    """Decodes an image file as its annotations were made for.

    Cameras turn pictures by a note in the file, which some annotation tools follow and some do
    not; the annotated size tells them apart where it can.

    Args:
        data: the bytes of the file.
        source: for messages.
        annotated: height and width, or None.
        orientation: see `CocoFolder`.

    Returns:
        uint8 [height, width, 3], and what to warn of, or None.

    Raises:
        UserError: it is no image, or has another size.
    """
    image = decode_stored(data, source)
    choices = {"shown": upright(image.pixels, image.orientation), "stored": image.pixels}
    fitting = [name for name in choices if annotated in (None, choices[name].shape[:2])]
    if not fitting:
        height, width = image.pixels.shape[:2]
        raise UserError(
            f"{source}: the image has {width} x {height} pixels (width x height), "
            f"its annotations say {annotated[1]} x {annotated[0]}"  # type: ignore[index]
        )
    if image.orientation == 1:
        return image.pixels, None
    warning = None
    if len(fitting) > 1:
        chosen = orientation
        warning = (
            "EXIF says that the picture is turned, and its size does not tell whether boxes were "
            f"drawn on it as it is shown or as it is stored; taken as {chosen} "
            "(data.coco.orientation)"
        )
    else:
        (chosen,) = fitting
        if chosen == "stored":
            warning = (
                "EXIF says that the picture is turned, but its annotations have the size of the "
                "stored one, which is used; predictions turn it"
            )
    return np.ascontiguousarray(choices[chosen]), warning


def _check_same_categories(train: CocoAnnotations, validation: CocoAnnotations) -> None:
    ours = dict(zip(train.category_ids, train.class_names, strict=True))
    theirs = dict(zip(validation.category_ids, validation.class_names, strict=True))
    for number in sorted(ours.keys() | theirs.keys()):
        if ours.get(number) != theirs.get(number):
            raise UserError(
                f"{validation.path}: category {number} is {theirs.get(number)!r} there and "
                f"{ours.get(number)!r} in {train.path}; both need the same categories"
            )
