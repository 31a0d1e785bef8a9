"""Where people looked: the positives of the location-based saliency metrics."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class Fixations:
    """Fixated pixels of one image, all inside it.

    Build it with `from_points` or `from_map`.

    Attributes:
        rows, columns: int64 [N], zero-based pixel of every fixation. A pixel looked at twice is
            there twice if the fixations came as points, once if they came as a map.
        shape: (height, width) of the image in pixels.
        num_outside: how many points were dropped because they lie outside the image.
    """

    rows: np.ndarray
    columns: np.ndarray
    shape: tuple[int, int]
    num_outside: int = 0

    @classmethod
    def from_points(cls, rows: ArrayLike, columns: ArrayLike, height: int, width: int) -> Fixations:
        """Fixations from the coordinates an eye tracker gives.

        Points outside the image are dropped and counted: trackers report glances beside the
        screen. NaN (blinks) counts as outside.

        Args:
            rows, columns: numbers [N], zero-based; 0.0 <= row < height, pixel i holds [i, i + 1).
                MATLAB's one-based coordinates need a 1 subtracted first.
            height, width: size of the image in pixels.

        Returns:
            The fixations inside the image, in the order given, repetitions kept.

        Raises:
            ValueError: `rows` and `columns` differ in length, or the size is not positive.
        """
        rows = np.atleast_1d(np.asarray(rows, np.float64))
        columns = np.atleast_1d(np.asarray(columns, np.float64))
        if rows.ndim != 1 or rows.shape != columns.shape:
            raise ValueError(
                "Expected rows and columns to be two lists of the same length, received shapes "
                f"{rows.shape} and {columns.shape}"
            )
        if height < 1 or width < 1:
            raise ValueError(
                f"Expected height and width to be positive, received {height} and {width}"
            )
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return cls(
            rows[inside].astype(np.int64),
            columns[inside].astype(np.int64),
            (int(height), int(width)),
            int(rows.size - inside.sum()),
        )

    @classmethod
    def from_map(cls, fixation_map: ArrayLike) -> Fixations:
        """Fixations from an image-sized array: every pixel above 0 was fixated, each counts once.

        Args:
            fixation_map: bool or number [height, width], finite.

        Raises:
            ValueError: not two-dimensional, empty, or with NaN or infinite values.
        """
        fixation_map = np.asarray(fixation_map)
        if fixation_map.ndim != 2 or fixation_map.size == 0:
            raise ValueError(
                "Expected the fixation map to be of shape [height, width], received shape "
                f"{fixation_map.shape}"
            )
        if not np.isfinite(fixation_map).all():
            raise ValueError("Expected finite values in the fixation map, received NaN or infinity")
        rows, columns = np.nonzero(fixation_map > 0)
        return cls(rows, columns, fixation_map.shape)

    def __len__(self) -> int:
        return self.rows.size

    @property
    def covers_image(self) -> bool:
        """Whether every pixel was fixated, so that there are none to tell them from."""
        return bool(self.to_map().all())

    def to_map(self) -> np.ndarray:
        """Bool [height, width], true at the fixated pixels."""
        fixation_map = np.zeros(self.shape, bool)
        fixation_map[self.rows, self.columns] = True
        return fixation_map

    def resized(self, height: int, width: int) -> Fixations:
        """The same fixations on a grid of another size.

        Each falls into the cell that holds the centre of its pixel; several may share one.

        Args:
            height, width: size of the new grid.
        """
        return Fixations(
            ((self.rows + 0.5) * height / self.shape[0]).astype(np.int64),
            ((self.columns + 0.5) * width / self.shape[1]).astype(np.int64),
            (int(height), int(width)),
            self.num_outside,
        )
