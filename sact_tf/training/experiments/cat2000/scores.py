"""Scores of single images: of all parameters searched, and of the chosen ones by all metrics."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import threadpoolctl

from sact_tf import saliency
from sact_tf.errors import UserError
from sact_tf.training.experiments.cat2000.cache import ArrayCache, digest
from sact_tf.training.experiments.cat2000.maps import CachedMap
from sact_tf.version import __version__

METRICS: dict[str, Callable[[np.ndarray, Any], float]] = {
    "auc_judd": saliency.auc_judd,
    "nss": saliency.nss,
    "cc": saliency.cc,
    "sim": saliency.sim,
    "kl": saliency.kl,
}
_ON_FIXATIONS = ("auc_judd", "nss")
# Of the combination, in the keys of cached scores: earlier versions meant another by a weight.
_FORM = "(1 - w) map + w centre"
PREDICTORS = ("center_baseline", "ponder_map", "combination")


@dataclasses.dataclass(frozen=True)
class ImageScorer:
    """Scores of single images, through a cache.

    Attributes:
        read_map: gives the ponder cost map of an image.
        grid: parameters to search.
        search_cache, score_cache: where results are kept.
    """

    read_map: Callable[[CachedMap], np.ndarray]
    grid: saliency.ParameterGrid
    search_cache: ArrayCache
    score_cache: ArrayCache

    def search(self, cached: CachedMap) -> np.ndarray:
        """AUC-Judd for every combination of the grid; see `saliency.search_scores`.

        Raises:
            UserError: the fixations cannot be used.
        """
        image = cached.image
        fixations = image.read_fixations()
        key = digest(__version__, _FORM, cached.key, _points(fixations), self.grid)
        scores = self.search_cache.load(image.name, key)
        if scores is None:
            ponder_map = self.read_map(cached)
            try:
                scores = saliency.search_scores(ponder_map, fixations, self.grid)
            except UserError as error:
                raise UserError(f"{image.fixations_path}: {error}") from None
            self.search_cache.save(image.name, key, scores)
        return scores

    def score(self, cached: CachedMap, chosen: saliency.SearchResult) -> np.ndarray:
        """All metrics of all predictors at the image's full resolution.

        Returns:
            float64 [predictors, metrics], in the order of `PREDICTORS` and `METRICS`.

        Raises:
            UserError: the fixations or the human map cannot be used.
        """
        image = cached.image
        fixations = image.read_fixations()
        human_map = image.read_human_map()
        parameters = (chosen.blur_size, chosen.center_weight, chosen.ponder_blur_size)
        key = digest(
            *(__version__, _FORM, cached.key, _points(fixations), human_map.tobytes()),
            *(parameters, self.grid.center_width),
        )
        scores = self.score_cache.load(image.name, key)
        if scores is None:
            predictions = self._predict(cached, fixations.shape, chosen)
            scores = np.array(
                [
                    [
                        metric(prediction, fixations if name in _ON_FIXATIONS else human_map)
                        for name, metric in METRICS.items()
                    ]
                    for prediction in predictions
                ]
            )
            self.score_cache.save(image.name, key, scores)
        return scores

    def combination(self, cached: CachedMap, chosen: saliency.SearchResult) -> np.ndarray:
        """The post-processed ponder map of an image at its full resolution."""
        return self._predict(cached, cached.image.read_size(), chosen)[-1]

    def _predict(
        self, cached: CachedMap, shape: tuple[int, int], chosen: saliency.SearchResult
    ) -> tuple[np.ndarray, ...]:
        height, width = shape
        ponder_map = self.read_map(cached)

        def blurred(blur_size):
            return saliency.scale_to_unit_range(
                saliency.resize_and_blur(ponder_map, height, width, blur_size * width)
            )

        center = saliency.center_baseline(height, width, self.grid.center_width)
        combination = saliency.combine_with_center(
            blurred(chosen.blur_size), center, chosen.center_weight
        )
        return center, blurred(chosen.ponder_blur_size), combination


def for_each(
    function: Callable[[CachedMap], np.ndarray],
    images: Sequence[CachedMap],
    num_workers: int,
) -> Iterator[tuple[CachedMap, np.ndarray | UserError]]:
    """Calls `function` on every image in threads, which NumPy's work lets run side by side.

    Yields:
        (image, result or the user's error), in the order of `images`.
    """

    def guarded(cached):
        try:
            return function(cached)
        except UserError as error:
            return error

    # One BLAS thread for each of ours: threads of both kinds wait for each other most of the time.
    with (
        threadpoolctl.threadpool_limits(1, "blas"),
        concurrent.futures.ThreadPoolExecutor(num_workers) as pool,
    ):
        try:
            yield from zip(images, pool.map(guarded, images), strict=True)
        finally:
            # An interrupted run must not first finish what is queued.
            pool.shutdown(wait=False, cancel_futures=True)


def _points(fixations: saliency.Fixations) -> bytes:
    return repr(fixations.shape).encode() + fixations.rows.tobytes() + fixations.columns.tobytes()
