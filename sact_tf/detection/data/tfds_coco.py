"""COCO, and sets with its features, from TensorFlow Datasets."""

import dataclasses
import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.checks import check_split
from sact_tf.data.identity import DataIdentity
from sact_tf.data.tfds_data import load_builder, open_splits
from sact_tf.detection.data.annotated_image import (
    AnnotatedImage,
    coco_ground_truth,
    detection_example,
)
from sact_tf.detection.data.detection_data import DetectionData, DetectionExample
from sact_tf.errors import UserError
from sact_tf.images.decoding import decode_image

# TFDS numbers COCO's 80 categories from 0; in COCO's own files these ids have no category.
_COCO_HOLES = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
_COCO_IDS = [number for number in range(1, 91) if number not in _COCO_HOLES]
_OBJECT_FEATURES = ("area", "bbox", "id", "is_crowd", "label")


class TfdsCoco(DetectionData):
    """A prepared TFDS set with the features of "coco/2017".

    That is `image`, `image/id` and `objects`, a sequence of `bbox`, `label`, `is_crowd`, `area` and
    `id`. Examples are read by number from the prepared files, on a local disk.

    Args:
        name: for instance "coco/2017".
        data_dir: where prepared sets are; TFDS's default if None.
        train_split, validation_split: splits that do not overlap; sub-splits as "train[:90%]" are
            allowed.
        preprocessing: see `sact_tf.detection.preprocessing`.
        flip: whether training mirrors every other image.
        skip_corrupt: whether to count and skip images that cannot be read.
        download: whether to download and prepare the set if it is not there.

    Raises:
        UserError: the set is not there, has no such split or features, or the splits overlap.
    """

    def __init__(
        self,
        name: str,
        preprocessing: Mapping[str, Any],
        data_dir: str | os.PathLike | None = None,
        train_split: str = "train",
        validation_split: str = "validation",
        flip: bool = True,
        skip_corrupt: bool = False,
        download: bool = False,
    ):
        builder = load_builder(name, data_dir, download)
        names = _class_names(name, builder.info.features)
        is_coco = builder.name == "coco" and len(names) == len(_COCO_IDS)
        ids = _COCO_IDS if is_coco else list(range(1, len(names) + 1))
        super().__init__(names, ids, preprocessing, flip, skip_corrupt)
        self._records, self._files = open_splits(builder, train_split, validation_split)

    def num_examples(self, split: str) -> int:
        return len(self._records[check_split(split)])

    def identity(self) -> DataIdentity:
        """The categories, and the prepared files with their sizes."""
        return dataclasses.replace(super().identity(), files=self._files)

    def ground_truth(self) -> dict[str, list[dict[str, Any]]]:
        images = []
        for index in range(self.num_examples("validation")):
            try:
                features = self._features("validation", index)
                data = features["image"].bytes_list.value[0]
                height, width = _picture_size(data, self._path("validation", index))
                images.append(self._annotated(features, "validation", index, height, width))
            except UserError as error:
                self._corrupt.report(self._path("validation", index), error)
        return coco_ground_truth(images, self.category_ids, self.class_names)

    def _path(self, split: str, index: int) -> str:
        return self._records[split].place(index)

    def _read(self, split: str, index: int) -> DetectionExample:
        features = self._features(split, index)
        data = features["image"].bytes_list.value[0]
        pixels = decode_image(data, self._path(split, index), apply_orientation=False)
        annotated = self._annotated(features, split, index, *pixels.shape[:2])
        return detection_example(annotated, pixels)

    def _features(self, split: str, index: int):
        from google.protobuf.message import DecodeError

        try:
            example = tf.train.Example.FromString(self._records[split].read(index))
            features = example.features.feature
            if not features["image"].bytes_list.value or not features["image/id"].int64_list.value:
                raise IndexError
        except (DecodeError, IndexError) as error:
            place = self._path(split, index)
            raise UserError(f"{place} is damaged: no image with an id") from error
        return features

    def _annotated(
        self, features, split: str, index: int, height: int, width: int
    ) -> AnnotatedImage:
        """The objects of a record; those without area are left out."""
        boxes = np.array(features["objects/bbox"].float_list.value, np.float64).reshape(-1, 4)
        labels = np.array(features["objects/label"].int64_list.value, np.int32)
        crowd = np.array(features["objects/is_crowd"].int64_list.value, bool)
        areas = np.array(features["objects/area"].int64_list.value, np.float64)
        where = f"{self._path(split, index)}, image {features['image/id'].int64_list.value[0]}"
        if not len(boxes) == len(labels) == len(crowd) == len(areas):
            raise UserError(f"{where}: the numbers of boxes, labels and crowd flags differ")
        if ((labels < 0) | (labels >= self.num_classes)).any():
            raise UserError(
                f"{where}: expected labels in 0 ... {self.num_classes - 1}, received {labels}"
            )
        corners = boxes * [height, width, height, width]
        sizes = corners[:, 2:] - corners[:, :2]
        # As a part of the image: annotations in pixels were divided, and may reach just outside.
        sane = np.isfinite(boxes).all(axis=1) & (boxes > -0.01).all(axis=1)
        if not (sane & (boxes < 1.01).all(axis=1) & (sizes >= 0).all(axis=1)).all():
            raise UserError(
                f"{where}: expected boxes [ymin, xmin, ymax, xmax] as parts of the image, received "
                f"{boxes.tolist()}"
            )
        kept = (sizes > 0).all(axis=1)
        return AnnotatedImage(
            image_id=int(features["image/id"].int64_list.value[0]),
            file_name=(features["image/filename"].bytes_list.value or [b""])[0].decode(),
            height=height,
            width=width,
            boxes=np.concatenate([corners[:, 1::-1], sizes[:, ::-1]], axis=1)[kept],
            classes=labels[kept],
            crowd=crowd[kept],
            areas=areas[kept],
        )


def _class_names(name: str, features) -> list[str]:
    import tensorflow_datasets as tfds

    keys = sorted(features.keys()) if isinstance(features, tfds.features.FeaturesDict) else []
    objects = getattr(features["objects"], "feature", None) if "objects" in keys else None
    found = sorted(objects.keys()) if isinstance(objects, tfds.features.FeaturesDict) else []
    if not {"image", "image/id", "objects"} <= set(keys) or not set(_OBJECT_FEATURES) <= set(found):
        raise UserError(
            f"{name}: expected the features of coco/2017 (image, image/id and objects with "
            f"{', '.join(_OBJECT_FEATURES)}), found {keys} with objects of {found}"
        )
    names = getattr(features["objects"].feature["label"], "names", None)
    if not names:
        raise UserError(f"{name}: the data set does not know the names of its classes")
    return list(names)


def _picture_size(data: bytes, source: str) -> tuple[int, int]:
    """Height and width, from the head of the file alone."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{source}: not a readable image ({error})") from None
