"""Draws scenes with several real handwritten digits of different sizes among pieces of others."""

import dataclasses

import numpy as np

_SOURCE_MAXIMUM = 16  # load_digits counts the ink of 4x4 pixels.
_INK = 64  # Of 255; what is darker does not count for the box.
_TRIES = 50
_MARGIN = 1  # Pixels between boxes.


@dataclasses.dataclass(frozen=True)
class SceneOptions:
    """What is on a scene.

    Attributes:
        image_size: side of the canvas in pixels.
        min_digits, max_digits: number of digits, each equally likely.
        min_size, max_size: sides of the digits' squares in pixels, their logarithms equally likely.
        num_distractors: square pieces of other digits.
        min_distractor, max_distractor: sides of the pieces in pixels; each shows a quarter of a
            digit that was enlarged to twice the side.
    """

    image_size: int = 160
    min_digits: int = 2
    max_digits: int = 6
    min_size: int = 16
    max_size: int = 64
    num_distractors: int = 12
    min_distractor: int = 8
    max_distractor: int = 16


@dataclasses.dataclass(frozen=True)
class Scene:
    """One canvas.

    Attributes:
        image: uint8 [S, S], white on black.
        labels: the digits on it.
        boxes: int64 [N, 4], (top, left, bottom, right) around the ink, ends exclusive.
        digits: which of the data set's digits they are.
        distractors: which of the data set's digits the pieces were cut from.
    """

    image: np.ndarray
    labels: list[int]
    boxes: np.ndarray
    digits: list[int]
    distractors: list[int]


class SourceDigits:
    """Digits `start` ... `stop` - 1 of scikit-learn's `load_digits`, enlarged on demand."""

    def __init__(self, start: int, stop: int):
        from sklearn.datasets import load_digits

        source = load_digits()
        self._ink = source.images[start:stop].astype(np.float32) / _SOURCE_MAXIMUM
        self.labels = source.target[start:stop].tolist()
        self.start = start

    def __len__(self) -> int:
        return len(self.labels)

    def enlarged(self, index: int, size: int) -> np.ndarray:
        """A digit as uint8 [size, size]."""
        from PIL import Image

        picture = Image.fromarray(self._ink[index]).resize((size, size), Image.Resampling.BICUBIC)
        return np.round(255 * np.clip(np.asarray(picture), 0, 1)).astype(np.uint8)


def draw_scene(source: SourceDigits, options: SceneOptions, seed: list[int]) -> Scene:
    """Draws one scene.

    The boxes of the digits do not overlap, and pieces lie beside them as long as there is room.
    Where a digit finds no place it is made smaller; if even the smallest finds none it is left out.

    Args:
        source: the digits to take.
        options: what is on it.
        seed: decides everything.
    """
    generator = np.random.default_rng(seed)
    canvas = np.zeros([options.image_size, options.image_size], np.uint8)
    digits: list[int] = []
    boxes: list[np.ndarray] = []
    for _ in range(generator.integers(options.min_digits, options.max_digits + 1)):
        digit = int(generator.integers(len(source)))
        low, high = np.log(options.min_size), np.log(options.max_size + 1)
        size = int(np.exp(generator.uniform(low, high)))
        while True:
            picture = source.enlarged(digit, size)
            ink = _ink_box(picture)
            place = _free_place(generator, canvas, size, ink, boxes)
            if place is not None or size == options.min_size:
                break
            size = max(options.min_size, size * 3 // 4)
        if place is not None:
            _lay(canvas, picture, place)
            digits.append(digit)
            boxes.append(ink + np.tile(place, 2))
    others = _draw_pieces(generator, source, options, canvas, boxes, digits)
    return Scene(
        image=canvas,
        labels=[source.labels[digit] for digit in digits],
        boxes=np.array(boxes, np.int64).reshape(-1, 4),
        digits=[source.start + digit for digit in digits],
        distractors=[source.start + other for other in others],
    )


def _draw_pieces(generator, source, options, canvas, boxes, digits) -> list[int]:
    others = []
    for _ in range(options.num_distractors):
        other = int(generator.integers(len(source)))
        while other in digits:
            other = int(generator.integers(len(source)))
        side = int(generator.integers(options.min_distractor, options.max_distractor + 1))
        top, left = generator.integers(0, side + 1, 2)
        piece = source.enlarged(other, 2 * side)[top : top + side, left : left + side]
        whole = np.array([0, 0, side, side])
        place = _free_place(generator, canvas, side, whole, boxes)
        if place is None:
            place = generator.integers(0, options.image_size - side + 1, 2)
        _lay(canvas, piece, place)
        others.append(other)
    return others


def _ink_box(picture: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(picture >= _INK)
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


def _free_place(generator, canvas, size, box, boxes) -> np.ndarray | None:
    """A top left corner where `box` overlaps no other box; None if none was found."""
    for _ in range(_TRIES):
        place = generator.integers(0, canvas.shape[0] - size + 1, 2)
        top, left, bottom, right = box + np.tile(place, 2)
        if all(
            bottom + _MARGIN <= other[0]
            or other[2] + _MARGIN <= top
            or right + _MARGIN <= other[1]
            or other[3] + _MARGIN <= left
            for other in boxes
        ):
            return place
    return None


def _lay(canvas: np.ndarray, picture: np.ndarray, place: np.ndarray) -> None:
    """Puts a picture on the canvas; where they overlap the brighter pixel wins."""
    height, width = picture.shape
    window = canvas[place[0] : place[0] + height, place[1] : place[1] + width]
    np.maximum(window, picture, out=window)
