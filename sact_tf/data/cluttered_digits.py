"""Cluttered digits: find and read one handwritten digit among pieces of others."""

import numpy as np
import tensorflow as tf

from sact_tf.data.checks import check_integer, check_split, check_stream
from sact_tf.data.classification_data import ImageClassificationData
from sact_tf.data.digit_canvases import Canvases, DigitBank, draw_canvases
from sact_tf.data.pipeline.example_order import ExampleOrder
from sact_tf.data.pipeline.indexed_data import with_fixed_order
from sact_tf.data.pipeline.python_calls import call_python
from sact_tf.data.pipeline.random_bits import random_keys
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.errors import UserError

_DIGIT_RANGES = {"train": (0, 1297), "validation": (1297, 1797)}
_SPLIT_KEYS = {"train": 0, "validation": 1}


class ClutteredDigits(ImageClassificationData):
    """The cluttered digits task of attention models, from data that ships with scikit-learn.

    A canvas holds one of the 1,797 real digits of `load_digits`, enlarged, at a random place, and
    random square pieces of other digits. Digits 0-1296 make the training canvases, digits
    1297-1796 (the pieces included) the held-out ones.

    Training canvases are new in each epoch: place, pieces and order come from (this data set's
    seed, the training seed, epoch, number in the epoch). The held-out canvases are a fixed set that
    depends on this data set's arguments alone. Evaluation gives the digit's square as "box".

    Args:
        image_size: side of the canvas in pixels.
        digit_size: side of the digit in pixels.
        num_distractors: pieces per canvas.
        distractor_size: side of the pieces in pixels.
        num_train: canvases per training epoch; digit i of the training digits is on the canvases
            i, i + 1297, ...
        num_validation: held-out canvases.
        seed: of the canvases, int >= 0.

    Raises:
        UserError: a size is out of its range.

    Reference: Mnih et al., Recurrent models of visual attention (arXiv 1406.6247), section 4.1.
    """

    num_classes = 10

    def __init__(
        self,
        image_size: int = 48,
        digit_size: int = 24,
        num_distractors: int = 8,
        distractor_size: int = 8,
        num_train: int = 12_800,
        num_validation: int = 1_000,
        seed: int = 0,
    ):
        check_integer("image_size", image_size, 1)
        check_integer("digit_size", digit_size, 1)
        check_integer("num_distractors", num_distractors, 0)
        check_integer("distractor_size", distractor_size, 1)
        if digit_size > image_size:
            raise UserError(
                f"Expected digit_size to be at most image_size={image_size}, received {digit_size}"
            )
        if distractor_size > digit_size:
            raise UserError(
                "Expected distractor_size to be at most the size of the digits it is cut from, "
                f"digit_size={digit_size}, received {distractor_size}"
            )
        self._counts = {
            "train": check_integer("num_train", num_train, 1),
            "validation": check_integer("num_validation", num_validation, 1),
        }
        self.image_size = image_size
        self.digit_size = digit_size
        self.num_distractors = num_distractors
        self.distractor_size = distractor_size
        self.seed = check_integer("seed", seed, 0)
        self.class_names = [str(digit) for digit in range(10)]
        self.preprocessing = {"name": "unit", "image_size": image_size}
        self._banks = {
            split: DigitBank(digit_size, *limits) for split, limits in _DIGIT_RANGES.items()
        }

    def num_examples(self, split: str) -> int:
        return self._counts[check_split(split)]

    def canvases(
        self, split: str, indices: np.ndarray, seed: int = 0, epochs: np.ndarray | int = 0
    ) -> Canvases:
        """Draws canvases.

        Args:
            split: "train" or "validation".
            indices: int64 [N], 0 ... num_examples(split) - 1.
            seed: the training seed. Held-out canvases do not depend on it.
            epochs: int64 [N] or one for all. Held-out canvases do not depend on it.

        Returns:
            The canvases, in the order of `indices`.
        """
        bank = self._banks[check_split(split)]
        indices = np.asarray(indices, np.int64)
        if split == "validation":
            seed = epochs = 0
        return draw_canvases(
            bank,
            digits=indices % len(bank),
            keys=random_keys(self.seed, _SPLIT_KEYS[split], seed, epochs, indices),
            canvas_size=self.image_size,
            num_distractors=self.num_distractors,
            distractor_size=self.distractor_size,
        )

    def train(
        self, batch_size: int, seed: int, start_step: int = 0, step_stride: int = 1
    ) -> tf.data.Dataset:
        check_stream(batch_size, seed, start_step, step_stride)
        order = ExampleOrder(self._counts["train"], seed)

        def load(step):
            epochs, indices = order(step * batch_size + np.arange(batch_size))
            canvases = self.canvases("train", indices, seed, epochs)
            return canvases.images, canvases.labels

        signature = self._signature(batch_size)[:2]
        steps = tf.data.Dataset.counter(start_step, step_stride)
        return with_fixed_order(steps.map(self._example_function(load, signature)))

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        check_integer("batch_size", batch_size, 1)
        count = self._counts["validation"]

        def load(start):
            canvases = self.canvases(
                "validation", np.arange(start, min(start + batch_size, count), dtype=np.int64)
            )
            return canvases.images, canvases.labels, canvases.boxes

        starts = tf.data.Dataset.range(0, count, batch_size)
        return with_fixed_order(starts.map(self._example_function(load, self._signature(None))))

    def _signature(self, batch_size: int | None) -> list[tf.TensorSpec]:
        shape = [batch_size, self.image_size, self.image_size, 3]
        return [
            tf.TensorSpec(shape, tf.uint8),
            tf.TensorSpec([batch_size], tf.int32),
            tf.TensorSpec([batch_size, 4], tf.float32),
        ]

    def _example_function(self, load, signature):
        """Draws a batch, and preprocesses as one does with images from elsewhere."""
        preprocess = evaluation_function(self.preprocessing)

        @tf.autograph.experimental.do_not_convert
        def example(number):
            images, *rest = call_python(load, [number], signature)
            images = tf.vectorized_map(preprocess, images)
            return dict(zip(("image", "label", "box"), [images, *rest], strict=False))

        return example
