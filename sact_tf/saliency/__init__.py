"""Ponder cost maps as visual saliency: metrics, post-processing, the cat2000 data set.

Importing this needs NumPy only; Pillow and SciPy are imported when cat2000 files are read.
"""

from sact_tf.saliency.cat2000 import Cat2000, Cat2000Image
from sact_tf.saliency.fixations import Fixations
from sact_tf.saliency.metrics import auc_judd, cc, kl, nss, sim
from sact_tf.saliency.parameter_search import ParameterGrid, SearchResult, choose, search_scores
from sact_tf.saliency.postprocessing import (
    center_baseline,
    combine_with_center,
    gaussian_blur,
    resize_and_blur,
    resize_map,
    saliency_from_ponder,
    scale_to_unit_range,
    softmax_map,
)

__all__ = [
    "Cat2000",
    "Cat2000Image",
    "Fixations",
    "ParameterGrid",
    "SearchResult",
    "auc_judd",
    "cc",
    "center_baseline",
    "choose",
    "combine_with_center",
    "gaussian_blur",
    "kl",
    "nss",
    "resize_and_blur",
    "resize_map",
    "saliency_from_ponder",
    "scale_to_unit_range",
    "search_scores",
    "sim",
    "softmax_map",
]
