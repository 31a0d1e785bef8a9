"""What the training programs ask of a data set for classification."""

import abc
from typing import Any

import tensorflow as tf

from sact_tf.errors import UserError

SPLITS = ("train", "validation")


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

    @abc.abstractmethod
    def train(
        self, batch_size: int, seed: int, start_step: int = 0, step_stride: int = 1
    ) -> tf.data.Dataset:
        """Endless batches of augmented training examples.

        The examples are one endless stream: one permutation of the split after the other, batches
        run across the ends of epochs. Which example stands where, and its augmentation, depends on
        (seed, epoch, example) alone. So `start_step=k` gives exactly the batches k, k + 1, ... of a
        run that started at 0, and costs nothing: nothing is read or decoded for what is skipped.

        Args:
            batch_size: examples per batch; every batch is full.
            seed: int >= 0.
            start_step: number of batches to skip.
            step_stride: take every so many-th batch from there on, as workers do that share them.

        Returns:
            A dataset of {"image": float32 [batch, height, width, 3], "label": int32 [batch]}.

        Raises:
            sact_tf.errors.UserError: an argument is out of its range.
        """

    @abc.abstractmethod
    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """The held-out examples, each once, in a fixed order, without augmentation.

        Args:
            batch_size: examples per batch; the last batch may be smaller.

        Returns:
            A dataset of {"image": float32 [batch, height, width, 3], "label": int32 [batch], ...};
            where the data set knows them also "box": float32 [batch, 4], the object as (top, left,
            bottom, right) in pixels, and "path": string [batch], where the image came from.
        """


def check_split(split: str) -> str:
    """Returns `split`, or raises a `UserError` if there is no such split."""
    if split not in SPLITS:
        raise UserError(f"Expected split to be one of {SPLITS}, received {split!r}")
    return split


def check_integer(name: str, value: Any, minimum: int) -> int:
    """Returns `value`, or raises a `UserError` if it is no int of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UserError(f"Expected {name} to be an int of at least {minimum}, received {value!r}")
    return value
