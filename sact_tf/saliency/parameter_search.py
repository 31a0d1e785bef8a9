"""Choosing blur size and centre weight, as the paper does on half of the images."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
from numpy.typing import ArrayLike

from sact_tf.errors import UserError
from sact_tf.saliency import postprocessing
from sact_tf.saliency.fixations import Fixations
from sact_tf.saliency.metrics import auc_judd


@dataclasses.dataclass(frozen=True)
class ParameterGrid:
    """What is searched.

    Repeated values are dropped and lists sorted.

    Attributes:
        blur_sizes: standard deviations of the Gaussian blur as shares of the image's width, so
            that they mean the same at any resolution. 0 is no blur. By default the benchmark's
            pixels on images 1000 pixels wide.
        center_weights: shares of the centre baseline, 0 to 1, tried beside 0; the benchmark's by
            default.
        center_width: of the centre baseline, see `postprocessing.center_baseline` (not searched).
        height, width: resolution of the search in pixels. The metric on the full image costs many
            times as much and chooses the same.

    Raises:
        UserError: an empty list, a value out of its range, a size that is not positive.
    """

    blur_sizes: tuple[float, ...] = (0.0, 0.001, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1)
    center_weights: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    center_width: float | None = None
    height: int = 180
    width: int = 320

    def __post_init__(self) -> None:
        for name, most, allowed in (
            ("blur_sizes", sys.float_info.max, "finite numbers of at least 0"),
            ("center_weights", 1.0, "numbers between 0 and 1"),
        ):
            values = tuple(float(value) for value in getattr(self, name))
            if not values or not all(0 <= value <= most for value in values):
                raise UserError(f"Expected {name} to be one or more {allowed}, received {values}")
            object.__setattr__(self, name, tuple(sorted(set(values))))
        if self.center_width is not None and not 0 < self.center_width < np.inf:
            raise UserError(f"Expected center_width to be positive, received {self.center_width}")
        if self.height < 1 or self.width < 1:
            raise UserError(
                f"Expected height and width to be positive, received {self.height}, {self.width}"
            )


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What was chosen.

    Attributes:
        blur_size, center_weight: of the combination of ponder map and centre baseline. A weight of
            0 is the ponder map alone, 1 the centre alone.
        auc_judd: mean over the searched images with these.
        ponder_blur_size, ponder_auc_judd: best blur of the ponder map without the centre baseline.
        at_edge: names of the parameters whose chosen value is the first or last of several
            searched and no limit of what is possible: a wider search might find a better one.
    """

    blur_size: float
    center_weight: float
    auc_judd: float
    ponder_blur_size: float
    ponder_auc_judd: float
    at_edge: tuple[str, ...]


def search_scores(ponder_map: ArrayLike, fixations: Fixations, grid: ParameterGrid) -> np.ndarray:
    """AUC-Judd of one image for every combination of the grid.

    Args:
        ponder_map: number [h, w], at any resolution.
        fixations: of the image, at the image's own resolution.
        grid: what to try.

    Returns:
        float64 [blur sizes, 1 + center weights]; the first column is the ponder map alone.

    Raises:
        UserError: at the grid's resolution there is no pixel without a fixation.
    """
    fixations = fixations.resized(grid.height, grid.width)
    if fixations.covers_image:
        raise UserError(
            f"every pixel is fixated at the {grid.width}x{grid.height} pixels of the search; "
            "expected some without a fixation, as there are at a larger size"
        )
    center = postprocessing.center_baseline(grid.height, grid.width, grid.center_width)
    scores = np.empty((len(grid.blur_sizes), 1 + len(grid.center_weights)))
    for row, blur_size in enumerate(grid.blur_sizes):
        blurred = postprocessing.scale_to_unit_range(
            postprocessing.resize_and_blur(
                ponder_map, grid.height, grid.width, blur_size * grid.width
            )
        )
        for column, weight in enumerate((0.0, *grid.center_weights)):
            combined = postprocessing.combine_with_center(blurred, center, weight)
            scores[row, column] = auc_judd(combined, fixations)
    return scores


def choose(scores: ArrayLike, grid: ParameterGrid) -> SearchResult:
    """The parameters with the highest mean score; the first of equals (least blur, least centre).

    Args:
        scores: [images, blur sizes, 1 + center weights], from `search_scores`.
        grid: the grid of those scores.

    Raises:
        ValueError: no images, or scores of another grid.
    """
    scores = np.asarray(scores, np.float64)
    expected = (len(grid.blur_sizes), 1 + len(grid.center_weights))
    if scores.ndim != 3 or scores.shape[1:] != expected or not len(scores):
        raise ValueError(
            f"Expected scores of shape [images, {expected[0]}, {expected[1]}] with at least one "
            f"image, received {scores.shape}"
        )
    mean = scores.mean(axis=0)
    row, column = np.unravel_index(mean.argmax(), mean.shape)
    alone = int(mean[:, 0].argmax())
    chosen = {
        "blur_size": (grid.blur_sizes, int(row)),
        "center_weight": ((0.0, *grid.center_weights), int(column)),
        "ponder_blur_size": (grid.blur_sizes, alone),
    }
    return SearchResult(
        auc_judd=float(mean[row, column]),
        ponder_auc_judd=float(mean[alone, 0]),
        at_edge=tuple(
            name
            for name, (values, i) in chosen.items()
            if _at_edge(values, i, limit=1.0 if name == "center_weight" else np.inf)
        ),
        **{name: values[i] for name, (values, i) in chosen.items()},
    )


def _at_edge(values: tuple[float, ...], index: int, limit: float) -> bool:
    return len(values) > 1 and index in (0, len(values) - 1) and 0 < values[index] < limit
