"""What COCO's format allows in an annotation file, but looks like a mistake.

N boxes of a file, (x, y, width, height) in pixels.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from sact_tf.detection.data.annotated_image import CocoAnnotations

_SHOWN = 5
# How far beyond the border, as a share of its side, a box of a careless annotator does not reach.
_FAR = 0.05
_TOLERANCE = 1.0  # Pixels; annotation tools round.
_FEW, _MOST = 0.2, 0.9


def doubts(annotations: CocoAnnotations) -> Iterator[str]:
    """Yields what looks like a mistake, one line each, with numbers and an example.

    Boxes look normalised where all four numbers are between 0 and 1, and not whole ones only: they
    begin inside the first pixel of the image and are smaller than one.

    A file looks as if its boxes were corners (x1, y1, x2, y2) where, of the boxes whose image has
    an annotated size, a fifth reach beyond the right or lower border by more than 5 % of its side
    (of corners it would be those whose centre is beyond the middle), and nine in ten, these among
    them, would lie inside as corners. Boxes that are cut off carelessly reach less far; those of
    enlarged or moved pictures reach beyond the left and upper border, too, where no corners lie.

    Args:
        annotations: of one file.
    """
    repeated = [name for name, n in Counter(annotations.class_names).items() if n > 1]
    if repeated:
        ids = [
            str(number)
            for number, name in zip(annotations.category_ids, annotations.class_names, strict=True)
            if name == repeated[0]
        ]
        yield (
            f"names of several categories, each of which is a class of its own: {len(repeated)}, "
            f"such as {repeated[0]!r} (categories {', '.join(ids)})"
        )
    boxes = _Boxes(annotations)
    if not len(boxes.rows):
        yield "there are no boxes at all"
        return
    for text, found in (
        ("have four numbers from 0 to 1 and look normalised; expected pixels", boxes.normalised()),
        (
            "reach far beyond the border, and nearly all would lie inside as corners x1, y1, x2, "
            "y2; expected x, y, width, height",
            boxes.corners(),
        ),
        ("repeat another one with the same image and category", boxes.repeated()),
    ):
        if found.any():
            example = boxes.shown(int(found.argmax()))
            yield f"{found.sum()} of {len(found)} boxes {text}; such as {example}"


def unused_categories(annotations: CocoAnnotations) -> str:
    """A line on the categories without any box; empty if there are none, or no boxes at all."""
    used = {label for image in annotations.images for label in image.classes.tolist()}
    unused = [name for label, name in enumerate(annotations.class_names) if label not in used]
    if not unused or not used:
        return ""
    more = ", ..." if len(unused) > _SHOWN else ""
    return (
        f"{len(unused)} of {len(annotations.class_names)} categories have no boxes, so that "
        f"nothing can be learnt of them: {', '.join(unused[:_SHOWN])}{more}"
    )


class _Boxes:
    """All boxes of a file. Each check returns bool [N]."""

    def __init__(self, annotations: CocoAnnotations):
        self._images = images = annotations.images
        counts = [len(image.boxes) for image in images]
        self._owners = np.repeat(np.arange(len(images)), counts)
        self.rows = np.concatenate([np.zeros([0, 4]), *(image.boxes for image in images)])
        self._labels = np.concatenate([np.zeros([0], int), *(image.classes for image in images)])
        sides = np.array([[im.width or np.nan, im.height or np.nan] for im in images], float)
        self._sides = sides.reshape(-1, 2)[self._owners]

    def shown(self, index: int) -> str:
        """A box and its image, in words."""
        image = self._images[self._owners[index]]
        size = "" if image.height is None else f" ({image.width} x {image.height} pixels)"
        box = ", ".join(f"{value:g}" for value in self.rows[index])
        return f"[{box}] of image {image.image_id}{size}"

    def normalised(self) -> np.ndarray:
        """See `doubts`."""
        found = np.asarray(((self.rows >= 0) & (self.rows <= 1)).all(axis=1))
        is_whole = bool((self.rows[found] % 1 == 0).all())
        return np.zeros_like(found) if is_whole else found

    def corners(self) -> np.ndarray:
        """See `doubts`."""
        first, second = self.rows[:, :2], self.rows[:, 2:]
        inside = (first >= 0) & (second > first) & (second <= self._sides + _TOLERANCE)
        beyond = first + second > (1 + _FAR) * self._sides + _TOLERANCE
        found = inside.all(axis=1) & beyond.any(axis=1)
        known = np.isfinite(self._sides).all(axis=1).sum()
        enough = found.sum() >= _FEW * known and inside.all(axis=1).sum() >= _MOST * known
        return found & enough

    def repeated(self) -> np.ndarray:
        """The second one of each two that are equal, and so on."""
        rows = np.column_stack([self._owners, self._labels, self.rows])
        _, firsts = np.unique(rows, axis=0, return_index=True)
        found = np.ones([len(rows)], bool)
        found[firsts] = False
        return found
