"""Data sets of images with boxes, and their pipelines."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.identity import DataIdentity
from sact_tf.data.pipeline.indexed_data import IndexedData
from sact_tf.detection.preprocessing import preprocessing_function
from sact_tf.text import check_class_names


@dataclasses.dataclass
class DetectionExample:
    """One image and what is on it, before preprocessing.

    Attributes:
        image: uint8 [height, width, 3].
        image_id: number that results refer to.
        boxes: float32 [N, 4], (ymin, xmin, ymax, xmax) in pixels of the image, inside it.
        classes: int32 [N].
        crowd: bool [N].
    """

    image: np.ndarray
    image_id: int
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray


class DetectionData(IndexedData):
    """A data set with a training and a held-out split, whose examples can be read in any order.

    Batches are dicts of `image` float32 [B, H, W, 3], preprocessed and padded with zeros at the
    bottom and right to the largest of the batch; `valid` bool [B, H, W], true where there is image;
    `boxes` float32 [B, M, 4], (ymin, xmin, ymax, xmax) in pixels of the preprocessed image;
    `classes` int32 [B, M], -1 where there is no box; `crowd` bool [B, M]; `image_id` int64 [B];
    `scale` float32 [B, 2], input pixels per pixel of the original, (y, x); `original_size` int32
    [B, 2], (height, width).

    Args:
        class_names: one name per class.
        category_ids: what the source calls the classes; results are written with these.
        preprocessing: see `sact_tf.detection.preprocessing`.
        flip: whether training mirrors every other image, left to right.
        skip_corrupt: whether to skip images that cannot be read, see `IndexedData`.
    """

    _signature = {
        "image": tf.TensorSpec([None, None, 3], tf.uint8),
        "boxes": tf.TensorSpec([None, 4], tf.float32),
        "classes": tf.TensorSpec([None], tf.int32),
        "crowd": tf.TensorSpec([None], tf.bool),
        "image_id": tf.TensorSpec([], tf.int64),
    }

    def __init__(
        self,
        class_names: list[str],
        category_ids: list[int],
        preprocessing: Mapping[str, Any],
        flip: bool,
        skip_corrupt: bool,
    ):
        super().__init__(skip_corrupt)
        check_class_names(class_names)
        self.class_names = list(class_names)
        self.category_ids = list(category_ids)
        self.num_classes = len(self.category_ids)
        self.preprocessing = dict(preprocessing)
        self.flip = flip
        self._preprocess = preprocessing_function(self.preprocessing)

    def identity(self) -> DataIdentity:
        """Classes and files, as a run remembers them; by default without files."""
        return DataIdentity(self.num_classes, self.class_names, self.category_ids)

    @abc.abstractmethod
    def ground_truth(self) -> dict[str, list[dict[str, Any]]]:
        """The held-out split's objects in COCO's format, as `evaluate_detections` takes it.

        Boxes are in original pixels, categories the source's own.
        """

    @abc.abstractmethod
    def _read(self, split: str, index: int) -> DetectionExample:
        """Reads an example; called from several threads.

        Raises:
            UserError: it cannot be read.
        """

    def _arrays(self, split: str, index: int) -> Sequence[Any]:
        example = self._read(split, index)
        return [
            np.asarray(getattr(example, name), spec.dtype.as_numpy_dtype)
            for name, spec in self._signature.items()
        ]

    def _prepare(
        self, example: dict[str, tf.Tensor], seed: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        image, scale = self._preprocess(example["image"])
        boxes = example["boxes"] * tf.tile(scale, [2])
        if self.flip and seed is not None:
            mirrored = tf.random.stateless_uniform([], seed) < 0.5
            image, boxes = tf.cond(
                mirrored, lambda: flip_left_right(image, boxes), lambda: (image, boxes)
            )
        return {
            "image": image,
            "valid": tf.ones(tf.shape(image)[:2], tf.bool),
            "boxes": boxes,
            "classes": example["classes"],
            "crowd": example["crowd"],
            "image_id": example["image_id"],
            "scale": scale,
            "original_size": tf.shape(example["image"])[:2],
        }

    def _batched(
        self, dataset: tf.data.Dataset, batch_size: int, drop_remainder: bool
    ) -> tf.data.Dataset:
        padding = {
            name: tf.cast(-1 if name == "classes" else 0, spec.dtype)
            for name, spec in dataset.element_spec.items()
        }
        return dataset.padded_batch(
            batch_size, padding_values=padding, drop_remainder=drop_remainder
        )


def flip_left_right(image: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors an image [H, W, 3] and its boxes [N, 4]."""
    width = tf.cast(tf.shape(image)[1], boxes.dtype)
    top, left, bottom, right = tf.unstack(boxes, axis=1)
    return tf.reverse(image, [1]), tf.stack([top, width - right, bottom, width - left], axis=1)
