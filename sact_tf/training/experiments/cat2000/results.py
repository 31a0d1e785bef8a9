"""What the evaluation says: means over images, and a text of them."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from sact_tf.saliency import SearchResult
from sact_tf.training.experiments.cat2000.maps import CachedMap
from sact_tf.training.experiments.cat2000.scores import METRICS, PREDICTORS
from sact_tf.training.reports.tables import render

_LABELS = {
    "center_baseline": "centre baseline alone",
    "ponder_map": "ponder map alone",
    "combination": "ponder map + centre",
}
_CATEGORY_HEADER = ("auc_judd by category", "images", "centre", "ponder", "both")


def summarize(scored: Iterable[tuple[CachedMap, np.ndarray]]) -> dict[str, Any]:
    """Means over images, overall and by category.

    Args:
        scored: images with their scores, at least one.

    Returns:
        {"overall": {predictor: {metric: mean}}, "categories": {category: {"num_images": int,
        predictor: {metric: mean}}}}.
    """
    by_category: dict[str, list[np.ndarray]] = {}
    for cached, scores in scored:
        by_category.setdefault(cached.image.category, []).append(scores)
    everything = [scores for group in by_category.values() for scores in group]
    return {
        "overall": _means(everything),
        "categories": {
            name: {"num_images": len(group), **_means(group)} for name, group in by_category.items()
        },
    }


def parameters_text(chosen: SearchResult) -> str:
    """The chosen parameters in words."""
    if chosen.center_weight == 1:
        return "the centre alone is best, the ponder map adds nothing to it (centre weight 1)"
    return f"blur {chosen.blur_size:g} of the image's width, centre weight {chosen.center_weight:g}"


def describe(results: dict[str, Any], chosen: SearchResult) -> str:
    """What people read on the terminal.

    Args:
        results: the content of `metrics.json`.
        chosen: the parameters.
    """
    lines = [
        "",
        f"{results['num_images']} images, second half of every category; parameters from "
        f"{results['num_search_images']} images of the first",
        f"{parameters_text(chosen)}; ponder map alone: blur {chosen.ponder_blur_size:g}",
    ]
    if chosen.at_edge:
        lines.append(f"at the edge of what was searched: {', '.join(chosen.at_edge)}")
    overall = [
        [_LABELS[predictor], *(f"{value:.4f}" for value in results["overall"][predictor].values())]
        for predictor in PREDICTORS
    ]
    by_category = [
        [name, str(scores["num_images"]), *(f"{scores[p]['auc_judd']:.4f}" for p in PREDICTORS)]
        for name, scores in results["categories"].items()
    ]
    lines += ["", render([["", *METRICS], *overall], "text")]
    lines += ["", render([_CATEGORY_HEADER, *by_category], "text")]
    if results["left_out"]:
        lines += ["", f"{results['num_left_out']} images were left out:"]
        lines += [f"  {entry['image']}: {entry['reason']}" for entry in results["left_out"]]
    return "\n".join(lines)


def _means(scores: list[np.ndarray]) -> dict[str, dict[str, float]]:
    mean = np.mean(scores, axis=0)
    return {
        predictor: dict(zip(METRICS, map(float, row), strict=True))
        for predictor, row in zip(PREDICTORS, mean, strict=True)
    }
