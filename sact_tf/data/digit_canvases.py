"""Draws canvases with one digit among pieces of other digits.

Shapes: N canvases, S side of a canvas, D side of a digit, P side of a distractor, M distractors.
"""

import dataclasses

import numpy as np

from sact_tf.data.pipeline.random_bits import random_uniform

_SOURCE_MAXIMUM = 16  # load_digits counts the ink of 4x4 pixels.


@dataclasses.dataclass(frozen=True)
class Canvases:
    """Some canvases and what is on them.

    Attributes:
        images: uint8 [N, S, S, 3], white on black, the same in all channels.
        labels: int32 [N], the digits 0 ... 9.
        boxes: float32 [N, 4], the digit's square as (top, left, bottom, right) in pixels, ends
            exclusive.
        digits: int64 [N], which of the data set's digits it is.
        distractors: int64 [N, M], which of the data set's digits the pieces were cut from.
    """

    images: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    digits: np.ndarray
    distractors: np.ndarray


class DigitBank:
    """Real handwritten digits (scikit-learn's `load_digits`), enlarged.

    Args:
        size: side of the enlarged digits in pixels.
        start: number of the first digit of the data set to use.
        stop: number after the last one.
    """

    def __init__(self, size: int, start: int, stop: int):
        import tensorflow as tf
        from sklearn.datasets import load_digits

        source = load_digits()
        ink = source.images[start:stop, :, :, None].astype(np.float32) / _SOURCE_MAXIMUM
        enlarged = tf.image.resize(ink, [size, size], "bicubic", antialias=True)[..., 0]
        self.start = start
        self.size = size
        self.images = np.round(255 * np.clip(enlarged.numpy(), 0, 1)).astype(np.uint8)
        self.labels = source.target[start:stop].astype(np.int32)

    def __len__(self) -> int:
        return len(self.labels)


def draw_canvases(
    bank: DigitBank,
    digits: np.ndarray,
    keys: np.ndarray,
    canvas_size: int,
    num_distractors: int,
    distractor_size: int,
) -> Canvases:
    """Draws one canvas per key.

    The digit and the pieces lie anywhere on the canvas; where they overlap the brighter pixel wins.
    No piece comes from the digit on the same canvas.

    Args:
        bank: the digits.
        digits: int64 [N], the digit of each canvas, by its place in the bank.
        keys: uint64 [N] (`sact_tf.data.pipeline.random_bits`); each decides everything else of
            its canvas.
        canvas_size: side of the canvas in pixels.
        num_distractors: pieces per canvas.
        distractor_size: side of the pieces in pixels.

    Returns:
        The canvases.
    """
    count, digit_size = len(keys), bank.size
    uniform = random_uniform(keys, 2 + 5 * num_distractors)
    place = _integers(uniform[:, :2], canvas_size - digit_size + 1)
    uniform = uniform[:, 2:].reshape(count, num_distractors, 5)
    others = (digits[:, None] + 1 + _integers(uniform[:, :, 0], len(bank) - 1)) % len(bank)
    cuts = _integers(uniform[:, :, 1:3], digit_size - distractor_size + 1)
    targets = _integers(uniform[:, :, 3:5], canvas_size - distractor_size + 1)

    canvases = np.zeros([count, canvas_size, canvas_size], np.uint8)
    every = np.arange(count)[:, None, None]
    canvases[every, *_window(place, digit_size)] = bank.images[digits]
    for piece in range(num_distractors):
        source = others[:, piece, None, None], *_window(cuts[:, piece], distractor_size)
        target = every, *_window(targets[:, piece], distractor_size)
        canvases[target] = np.maximum(canvases[target], bank.images[source])
    return Canvases(
        images=np.repeat(canvases[..., None], 3, axis=3),
        labels=bank.labels[digits],
        boxes=np.concatenate([place, place + digit_size], axis=1).astype(np.float32),
        digits=bank.start + digits,
        distractors=bank.start + others,
    )


def _integers(uniform: np.ndarray, stop: int) -> np.ndarray:
    return (uniform * stop).astype(np.int64)


def _window(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column indices, [N, size, 1] and [N, 1, size], of squares at corners [N, 2]."""
    steps = np.arange(size)
    return corners[:, 0, None, None] + steps[:, None], corners[:, 1, None, None] + steps
