"""The pipelines of data sets whose examples can be read in any order."""

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.classification_data import (
    ImageClassificationData,
    check_integer,
    check_split,
)
from sact_tf.data.corrupt_images import CorruptImages
from sact_tf.data.example_order import ExampleOrder
from sact_tf.data.preprocessing import evaluation_function, training_function
from sact_tf.data.python_calls import call_python
from sact_tf.data.random_bits import augmentation_seeds, random_keys
from sact_tf.data.stream_positions import stream_positions
from sact_tf.errors import UserError

_IMAGE = tf.TensorSpec([None, None, 3], tf.uint8)
_LABEL = tf.TensorSpec([], tf.int32)


class IndexedClassificationData(ImageClassificationData):
    """Base class: a subclass says how many examples there are and reads one of them.

    Corrupt images: an image that cannot be read stops the consumer of the pipeline with a
    `UserError` (`sact_tf.errors.user_error_in`). With `skip_corrupt`, evaluation leaves it out, and
    training puts another example in its place, drawn from (seed, epoch, example). So what stands at
    which place of the stream stays a function of the seed and the files, and a run may still start
    anywhere.

    Args:
        num_classes: number of classes.
        class_names: one name per class, or None.
        preprocessing: see `sact_tf.data.preprocessing`.
        skip_corrupt: whether to skip images that cannot be read instead of stopping.
    """

    def __init__(
        self,
        num_classes: int,
        class_names: list[str] | None,
        preprocessing: Mapping[str, Any],
        skip_corrupt: bool,
    ):
        self.num_classes = num_classes
        self.class_names = class_names
        self.preprocessing = dict(preprocessing)
        self.skip_corrupt = skip_corrupt
        self._evaluation_function = evaluation_function(preprocessing)
        self._training_function = training_function(preprocessing)
        self._corrupt = CorruptImages(skip_corrupt)

    @abc.abstractmethod
    def _read(self, split: str, index: int) -> tuple[np.ndarray, int]:
        """Reads an example; called from several threads.

        Returns:
            The image, uint8 [height, width, 3], and its label.

        Raises:
            UserError: it cannot be read.
        """

    @abc.abstractmethod
    def _path(self, split: str, index: int) -> str:
        """Where an example comes from: a file, or a place in one."""

    @property
    def corrupt_images(self) -> dict[str, str]:
        """The images that were skipped up to now: where each comes from, and what is wrong."""
        return self._corrupt.found

    def train(
        self, batch_size: int, seed: int, start_step: int = 0, step_stride: int = 1
    ) -> tf.data.Dataset:
        check_integer("batch_size", batch_size, 1)
        check_integer("seed", seed, 0)
        check_integer("start_step", start_step, 0)
        check_integer("step_stride", step_stride, 1)
        order = ExampleOrder(self._checked_num_examples("train"), seed)

        def load(position):
            epochs, examples = order(position[None])
            keys = random_keys(seed, epochs, examples)
            image, label = self._corrupt.read_or_substitute(
                lambda index: self._read("train", index),
                lambda index: self._path("train", index),
                int(examples[0]),
                order.num_examples,
                keys,
            )
            return image, np.int32(label), augmentation_seeds(keys)[0]

        def example(position):
            image, label, augmentation_seed = call_python(
                load, [position], [_IMAGE, _LABEL, tf.TensorSpec([2], tf.int32)]
            )
            return {"image": self._training_function(image, augmentation_seed), "label": label}

        positions = stream_positions(batch_size, start_step, step_stride)
        dataset = parallel_map(positions, example).batch(batch_size, drop_remainder=True)
        return with_fixed_order(dataset)

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        check_integer("batch_size", batch_size, 1)

        def load(index):
            path = self._path("validation", int(index)).encode("utf-8", "surrogateescape")
            try:
                image, label = self._read("validation", int(index))
            except UserError as error:
                self._corrupt.report(self._path("validation", int(index)), error)
                return np.zeros([1, 1, 3], np.uint8), np.int32(0), path, np.False_
            return image, np.int32(label), path, np.True_

        def example(index):
            path, whole = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.bool)
            image, label, path, whole = call_python(load, [index], [_IMAGE, _LABEL, path, whole])
            image = self._evaluation_function(image)
            return {"image": image, "label": label, "path": path, "whole": whole}

        def without_flag(example):
            return {key: value for key, value in example.items() if key != "whole"}

        indices = tf.data.Dataset.range(self._checked_num_examples("validation"))
        dataset = parallel_map(indices, example)
        if self.skip_corrupt:
            dataset = dataset.filter(lambda example: example["whole"])
        return with_fixed_order(dataset.map(without_flag).batch(batch_size))

    def _checked_num_examples(self, split: str) -> int:
        count = self.num_examples(check_split(split))
        if not count:
            raise UserError(f"The {split} split has no images")
        return count


def parallel_map(dataset: tf.data.Dataset, function) -> tf.data.Dataset:
    """Maps on several threads, the order kept."""
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def with_fixed_order(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Reads ahead, in an order that never depends on timing."""
    options = tf.data.Options()
    options.deterministic = True
    # There are no input files that workers could divide among themselves.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(2).with_options(options)
