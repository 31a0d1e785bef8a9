"""The streams of a data set whose examples can be read in any order."""

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.checks import check_integer, check_split, check_stream
from sact_tf.data.pipeline.corrupt_images import CorruptImages
from sact_tf.data.pipeline.example_order import ExampleOrder
from sact_tf.data.pipeline.python_calls import blank, call_python
from sact_tf.data.pipeline.random_bits import augmentation_seeds, random_keys
from sact_tf.errors import UserError

_SEED = tf.TensorSpec([2], tf.int32)
_READABLE = tf.TensorSpec([], tf.bool)


class IndexedData(abc.ABC):
    """Base class: a subclass reads an example by its number and prepares it for the network.

    Corrupt images: an image that cannot be read stops the consumer of the pipeline with a
    `UserError` (`sact_tf.errors.user_error_in`). With `skip_corrupt`, evaluation leaves it out, and
    training puts another example in its place, drawn from (seed, epoch, example). So what stands at
    which place of the stream stays a function of the seed and the files, and a run may still start
    anywhere.

    Args:
        skip_corrupt: whether to skip images that cannot be read instead of stopping.
    """

    _signature: dict[str, tf.TensorSpec]  # Of the arrays of an example, by name.

    def __init__(self, skip_corrupt: bool):
        self._corrupt = CorruptImages(skip_corrupt)

    @abc.abstractmethod
    def num_examples(self, split: str) -> int:
        """Number of examples of a split, "train" or "validation"."""

    @abc.abstractmethod
    def _path(self, split: str, index: int) -> str:
        """Where an example comes from: a file, or a place in one."""

    @abc.abstractmethod
    def _arrays(self, split: str, index: int) -> Sequence[Any]:
        """Reads an example; called from several threads.

        Returns:
            One array for each entry of `_signature`.

        Raises:
            UserError: it cannot be read.
        """

    @abc.abstractmethod
    def _prepare(
        self, example: dict[str, tf.Tensor], seed: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """What the network gets of an example.

        Args:
            example: tensors by the names of `_signature`.
            seed: int32 [2], of the augmentation; None in evaluation.
        """

    def _batched(
        self, dataset: tf.data.Dataset, batch_size: int, drop_remainder: bool
    ) -> tf.data.Dataset:
        return dataset.batch(batch_size, drop_remainder=drop_remainder)

    @property
    def corrupt_images(self) -> dict[str, str]:
        """The images that were skipped up to now: where each comes from, and what is wrong."""
        return self._corrupt.found

    def train(
        self, batch_size: int, seed: int, start_step: int = 0, step_stride: int = 1
    ) -> tf.data.Dataset:
        """Endless batches of augmented training examples, all of them full.

        The examples are one endless stream: one permutation of the split after the other, batches
        run across the ends of epochs. Which example stands where, and its augmentation, depends on
        (seed, epoch, example) alone. So `start_step=k` gives exactly the batches k, k + 1, ... of a
        run that started at 0, and costs nothing: nothing is read or decoded for what is skipped.

        Args:
            batch_size: examples per batch.
            seed: int >= 0.
            start_step: number of batches to skip.
            step_stride: take every so many-th batch from there on, as workers do that share them.

        Returns:
            A dataset of dicts, see the class.

        Raises:
            sact_tf.errors.UserError: an argument is out of its range.
        """
        check_stream(batch_size, seed, start_step, step_stride)
        order = ExampleOrder(self._checked_num_examples("train"), seed)

        def load(position):
            epochs, examples = order(position[None])
            keys = random_keys(seed, epochs, examples)
            arrays = self._corrupt.read_or_substitute(
                lambda index: self._arrays("train", index),
                lambda index: self._path("train", index),
                int(examples[0]),
                order.num_examples,
                keys,
            )
            return [*arrays, augmentation_seeds(keys)[0]]

        def example(number):
            step = start_step + number // batch_size * step_stride
            position = step * batch_size + number % batch_size
            return self._prepare(*self._load(load, position, _SEED))

        dataset = _parallel_map(tf.data.Dataset.counter(), example)
        return with_fixed_order(self._batched(dataset, batch_size, drop_remainder=True))

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """The held-out examples, each once, in a fixed order, without augmentation.

        Args:
            batch_size: examples per batch; the last batch may be smaller.

        Returns:
            A dataset of dicts, see the class.
        """
        check_integer("batch_size", batch_size, 1)
        # An image without pixels could not be resized.
        nothing = [blank(spec, unknown=1) for spec in self._signature.values()]

        def load(index):
            try:
                return [*self._arrays("validation", int(index)), np.True_]
            except UserError as error:
                self._corrupt.report(self._path("validation", int(index)), error)
                return [*nothing, np.False_]

        def example(index):
            values, readable = self._load(load, index, _READABLE)
            return self._prepare(values, None), readable

        indices = tf.data.Dataset.range(self._checked_num_examples("validation"))
        dataset = _parallel_map(indices, example)
        if self._corrupt.skip:
            dataset = dataset.filter(lambda example, readable: readable)
        dataset = dataset.map(lambda example, readable: example)
        return with_fixed_order(self._batched(dataset, batch_size, drop_remainder=False))

    def _load(
        self, load: Callable, number: tf.Tensor, last: tf.TensorSpec
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The example that `load` returns, by name, and what it returns besides."""
        *values, rest = call_python(load, [number], [*self._signature.values(), last])
        return dict(zip(self._signature, values, strict=True)), rest

    def _checked_num_examples(self, split: str) -> int:
        count = self.num_examples(check_split(split))
        if not count:
            raise UserError(f"The {split} split has no images")
        return count


def with_fixed_order(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Reads ahead, in an order that never depends on timing."""
    options = tf.data.Options()
    options.deterministic = True
    # There are no input files that workers could divide among themselves.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(2).with_options(options)


def _parallel_map(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """Maps on several threads, the order kept."""
    # There is no Python control flow to convert, and converting takes its time.
    function = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
