"""Data sets for classification: what training asks of them, and those read by number."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.identity import DataIdentity
from sact_tf.data.pipeline.indexed_data import IndexedData
from sact_tf.data.preprocessing import (
    evaluation_box_function,
    evaluation_function,
    training_function,
)
from sact_tf.text import check_class_names


class ImageClassificationData(abc.ABC):
    """A data set of labelled images with a training and a held-out split.

    Attributes:
        num_classes: number of classes; labels are 0 ... num_classes - 1.
        class_names: one name per class, or None.
        preprocessing: the evaluation preprocessing (see `sact_tf.data.preprocessing`), which an
            `ImageClassifier` keeps.
    """

    num_classes: int
    class_names: list[str] | None
    preprocessing: dict[str, Any]

    @abc.abstractmethod
    def num_examples(self, split: str) -> int:
        """Number of examples of a split.

        Args:
            split: "train" or "validation".
        """

    def identity(self) -> DataIdentity:
        """Classes and files, as a run remembers them; by default without files."""
        return DataIdentity(self.num_classes, self.class_names)

    @abc.abstractmethod
    def train(
        self, batch_size: int, seed: int, start_step: int = 0, step_stride: int = 1
    ) -> tf.data.Dataset:
        """Endless batches of augmented training examples; see `IndexedData.train`.

        Returns:
            A dataset of {"image": float32 [batch, height, width, 3], "label": int32 [batch]}.
        """

    @abc.abstractmethod
    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """The held-out examples, each once, in a fixed order, without augmentation.

        Args:
            batch_size: examples per batch; the last batch may be smaller.

        Returns:
            A dataset of {"image": float32 [batch, height, width, 3], "label": int32 [batch], ...};
            where the data set knows them also "box": float32 [batch, 4], the object as (top, left,
            bottom, right) in pixels of "image" (NaN for an image without one), and "path": string
            [batch], where the image came from.
        """


class IndexedClassificationData(IndexedData, ImageClassificationData):
    """Base class: a subclass says how many examples there are and reads one of them.

    Args:
        num_classes: number of classes.
        class_names: one name per class, or None.
        preprocessing: see `sact_tf.data.preprocessing`.
        skip_corrupt: whether to skip images that cannot be read, see `IndexedData`.
    """

    _signature = {
        "image": tf.TensorSpec([None, None, 3], tf.uint8),
        "label": tf.TensorSpec([], tf.int32),
        "path": tf.TensorSpec([], tf.string),
    }

    def __init__(
        self,
        num_classes: int,
        class_names: list[str] | None,
        preprocessing: Mapping[str, Any],
        skip_corrupt: bool,
    ):
        super().__init__(skip_corrupt)
        check_class_names(class_names or ())
        self.num_classes = num_classes
        self.class_names = class_names
        self.preprocessing = dict(preprocessing)
        self._evaluation_function = evaluation_function(preprocessing)
        self._box_function = evaluation_box_function(preprocessing)
        self._training_function = training_function(preprocessing)

    @abc.abstractmethod
    def _read(self, split: str, index: int) -> tuple[np.ndarray, int]:
        """Reads an example; called from several threads.

        Returns:
            The image, uint8 [height, width, 3], and its label.

        Raises:
            UserError: it cannot be read.
        """

    def _arrays(self, split: str, index: int) -> Sequence[Any]:
        image, label = self._read(split, index)
        return image, np.int32(label), self._path(split, index).encode("utf-8", "surrogateescape")

    def _prepare(
        self, example: dict[str, tf.Tensor], seed: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        if seed is None:
            return self._evaluated(example)
        image = self._training_function(example["image"], seed)
        return {"image": image, "label": example["label"]}

    def _evaluated(self, example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        prepared = {**example, "image": self._evaluation_function(example["image"])}
        if "box" in example:
            size = tf.shape(example["image"])[:2]
            prepared["box"] = self._box_function(example["box"], size)
        return prepared
