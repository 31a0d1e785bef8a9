"""Data sets of images with boxes, and their pipelines."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.classification_data import check_integer, check_split
from sact_tf.data.corrupt_images import CorruptImages
from sact_tf.data.example_order import ExampleOrder
from sact_tf.data.indexed_data import parallel_map, with_fixed_order
from sact_tf.data.python_calls import call_python
from sact_tf.data.random_bits import augmentation_seeds, random_keys
from sact_tf.data.stream_positions import stream_positions
from sact_tf.detection.preprocessing import preprocessing_function
from sact_tf.errors import UserError

_SIGNATURE = {
    "image": tf.TensorSpec([None, None, 3], tf.uint8),
    "boxes": tf.TensorSpec([None, 4], tf.float32),
    "classes": tf.TensorSpec([None], tf.int32),
    "crowd": tf.TensorSpec([None], tf.bool),
    "image_id": tf.TensorSpec([], tf.int64),
    "seed": tf.TensorSpec([2], tf.int32),
    "whole": tf.TensorSpec([], tf.bool),
}
_PADDING = {"classes": -1}


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


class DetectionData(abc.ABC):
    """A data set with a training and a held-out split, whose examples can be read in any order.

    Batches are dicts of `image` float32 [B, H, W, 3], preprocessed and padded with zeros at the
    bottom and right to the largest of the batch; `valid` bool [B, H, W], true where there is image;
    `boxes` float32 [B, M, 4], (ymin, xmin, ymax, xmax) in pixels of the preprocessed image;
    `classes` int32 [B, M], -1 where there is no box; `crowd` bool [B, M]; `image_id` int64 [B];
    `scale` float32 [B, 2], input pixels per pixel of the original, (y, x); `original_size` int32
    [B, 2], (height, width).

    An image that cannot be read stops the consumer of the pipeline with a `UserError`
    (`sact_tf.errors.user_error_in`). With `skip_corrupt`, evaluation leaves it out, and training
    puts another example in its place, drawn from (seed, epoch, example).

    Args:
        class_names: one name per class.
        category_ids: what the source calls the classes; results are written with these.
        preprocessing: see `sact_tf.detection.preprocessing`.
        flip: whether training mirrors every other image, left to right.
        skip_corrupt: whether to skip images that cannot be read instead of stopping.
    """

    def __init__(
        self,
        class_names: list[str],
        category_ids: list[int],
        preprocessing: Mapping[str, Any],
        flip: bool,
        skip_corrupt: bool,
    ):
        self.class_names = list(class_names)
        self.category_ids = list(category_ids)
        self.num_classes = len(self.category_ids)
        self.preprocessing = dict(preprocessing)
        self.flip = flip
        self._preprocess = preprocessing_function(self.preprocessing)
        self._corrupt = CorruptImages(skip_corrupt)

    @abc.abstractmethod
    def num_examples(self, split: str) -> int:
        """Number of images of a split, "train" or "validation"."""

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

    @abc.abstractmethod
    def _path(self, split: str, index: int) -> str:
        """Where an example comes from."""

    @property
    def corrupt_images(self) -> dict[str, str]:
        """The images that were skipped up to now: where each comes from, and what is wrong."""
        return self._corrupt.found

    def train(
        self, batch_size: int, seed: int, start_step: int = 0, step_stride: int = 1
    ) -> tf.data.Dataset:
        """Endless batches of training examples, all of them full.

        One permutation of the split after the other. What stands where, and whether it is mirrored,
        depends on (seed, epoch, example) alone: `start_step=k` gives exactly the batches k, k + 1,
        ... of a run that started at 0, and nothing is read for what is skipped.

        Args:
            batch_size: images per batch.
            seed: int >= 0.
            start_step: number of batches to skip.
            step_stride: take every so many-th batch from there on, as workers do that share them.

        Raises:
            sact_tf.errors.UserError: an argument is out of its range.
        """
        check_integer("batch_size", batch_size, 1)
        check_integer("seed", seed, 0)
        check_integer("start_step", start_step, 0)
        check_integer("step_stride", step_stride, 1)
        order = ExampleOrder(self._checked_num_examples("train"), seed)

        def load(position):
            epochs, examples = order(position[None])
            keys = random_keys(seed, epochs, examples)
            example = self._corrupt.read_or_substitute(
                lambda index: self._read("train", index),
                lambda index: self._path("train", index),
                int(examples[0]),
                order.num_examples,
                keys,
            )
            return _arrays(example, augmentation_seeds(keys)[0])

        positions = stream_positions(batch_size, start_step, step_stride)
        dataset = parallel_map(positions, lambda position: self._example(load, position, self.flip))
        return with_fixed_order(_batched(dataset, batch_size, drop_remainder=True))

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """The held-out images, each once, in a fixed order; the last batch may be smaller.

        Args:
            batch_size: images per batch.
        """
        check_integer("batch_size", batch_size, 1)

        def load(index):
            try:
                return _arrays(self._read("validation", int(index)), np.zeros([2], np.int32))
            except UserError as error:
                self._corrupt.report(self._path("validation", int(index)), error)
                return _nothing()

        indices = tf.data.Dataset.range(self._checked_num_examples("validation"))
        dataset = parallel_map(indices, lambda index: self._example(load, index, flip=False))
        if self._corrupt.skip:
            dataset = dataset.filter(lambda example: example["whole"])
        return with_fixed_order(_batched(dataset, batch_size, drop_remainder=False))

    def _checked_num_examples(self, split: str) -> int:
        count = self.num_examples(check_split(split))
        if not count:
            raise UserError(f"The {split} split has no images")
        return count

    def _example(self, load, number: tf.Tensor, flip: bool) -> dict[str, tf.Tensor]:
        values = call_python(load, [number], list(_SIGNATURE.values()))
        example = dict(zip(_SIGNATURE, values, strict=True))
        original_size = tf.shape(example["image"])[:2]
        image, scale = self._preprocess(example["image"])
        boxes = example["boxes"] * tf.tile(scale, [2])
        if flip:
            mirrored = tf.random.stateless_uniform([], example["seed"]) < 0.5
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
            "original_size": original_size,
            "whole": example["whole"],
        }


def flip_left_right(image: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors an image [H, W, 3] and its boxes [N, 4]."""
    width = tf.cast(tf.shape(image)[1], boxes.dtype)
    top, left, bottom, right = tf.unstack(boxes, axis=1)
    return tf.reverse(image, [1]), tf.stack([top, width - right, bottom, width - left], axis=1)


def _batched(dataset: tf.data.Dataset, batch_size: int, drop_remainder: bool) -> tf.data.Dataset:
    dataset = dataset.map(lambda example: {k: v for k, v in example.items() if k != "whole"})
    padding = {
        name: tf.cast(_PADDING.get(name, 0), spec.dtype)
        for name, spec in dataset.element_spec.items()
    }
    return dataset.padded_batch(batch_size, padding_values=padding, drop_remainder=drop_remainder)


def _arrays(example: DetectionExample, seed: np.ndarray) -> list[np.ndarray]:
    return [
        example.image,
        np.asarray(example.boxes, np.float32),
        np.asarray(example.classes, np.int32),
        np.asarray(example.crowd, bool),
        np.int64(example.image_id),
        seed,
        np.True_,
    ]


def _nothing() -> list[np.ndarray]:
    """In the place of an image that evaluation leaves out."""
    image = np.zeros([1, 1, 3], np.uint8)
    empty = DetectionExample(image, 0, np.zeros([0, 4]), np.zeros([0]), np.zeros([0]))
    return [*_arrays(empty, np.zeros([2], np.int32))[:-1], np.False_]
