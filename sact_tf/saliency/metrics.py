"""How well a saliency map predicts where people look: AUC-Judd, NSS, CC, SIM, KL.

P fixated pixels, N other pixels, S the saliency map, G the human map (fixations blurred), s and g
the two as densities (sums of 1).

AUC-Judd and NSS compare a map with fixations, CC, SIM and KL with a human map. AUC-Judd follows
the MIT saliency benchmark, the other four `pysaliency.metrics`; `docs/saliency.md` has every
convention on one page. Everything is computed in float64.

References:
    T. Judd, K. Ehinger, F. Durand, A. Torralba: Learning to predict where humans look. ICCV 2009.
    Z. Bylinskii, T. Judd, A. Oliva, A. Torralba, F. Durand: What do different evaluation metrics
    tell us about saliency models? arXiv 1604.03605.
"""

import numpy as np
from numpy.typing import ArrayLike

from sact_tf.saliency.fixations import Fixations

KL_EPSILON = 2.2204e-16
_JITTER = 1e-7
_JITTER_STREAM = 161202297
_NUM_BINS = 1 << 16


def auc_judd(
    saliency_map: ArrayLike,
    fixations: Fixations | ArrayLike,
    *,
    jitter: bool = False,
    seed: int = 0,
) -> float:
    """Area under the ROC curve of the saliency map as a predictor of fixated pixels.

    Positives are the fixated pixels, each once however often it was looked at; negatives are all
    other pixels. For each distinct value t of S at a positive the curve has the point
    (share of negatives with S >= t, share of positives with S >= t); it starts in (0, 0), ends in
    (1, 1), and the area is the trapezoids'. Tied values enter the curve together, so the result
    does not depend on any order; a constant map gives exactly 0.5.

    Args:
        saliency_map: number [height, width], finite.
        fixations: `Fixations`, or an array [height, width] whose positive pixels are fixated.
        jitter: adds uniform noise in [0, 1e-7) to the map scaled to [0, 1], which splits ties at
            random, as the benchmark's code does by default.
        seed: of that noise.

    Returns:
        The area, in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: the map and the fixations differ in size, the map is not finite, there are no
            fixations, or every pixel is fixated.

    Reference:
        Judd et al. 2009; `AUC_Judd.m` of the MIT saliency benchmark (saliency.mit.edu).
    """
    values, fixations = _check_pair(saliency_map, fixations)
    if jitter:
        # A stream of its own: simulated fixations may come from default_rng(seed) as well.
        rng = np.random.default_rng((seed, _JITTER_STREAM))
        noise = rng.uniform(0, _JITTER, values.shape)
        values = _to_unit_range(values) + noise
    positives = np.unique(np.ravel_multi_index((fixations.rows, fixations.columns), values.shape))
    if positives.size == values.size:
        raise ValueError("Expected some pixels without a fixation, received all of them fixated")
    values = values.ravel()
    fixated = np.sort(values[positives])
    thresholds = np.unique(fixated)
    hits = fixated.size - np.searchsorted(fixated, thresholds)
    false_alarms = _count_at_least(values, thresholds) - hits
    # Thresholds ascend, so the curve runs from its end to its start.
    true_rate = np.concatenate([[1], hits / fixated.size, [0]])
    false_rate = np.concatenate([[1], false_alarms / (values.size - fixated.size), [0]])
    return float(-np.trapezoid(true_rate, false_rate))


def nss(saliency_map: ArrayLike, fixations: Fixations | ArrayLike) -> float:
    """Normalised scanpath saliency: the mean of the standardised map at the fixations.

    (S - mean(S)) / std(S), population standard deviation, averaged over the fixations. Points at
    the same pixel count each time, unlike in `auc_judd`. A constant map gives 0.

    Args:
        saliency_map: number [height, width], finite.
        fixations: `Fixations`, or an array [height, width] whose positive pixels are fixated.

    Returns:
        Mean number of standard deviations above the map's mean; 0 is chance.

    Raises:
        ValueError: as for `auc_judd`; all pixels fixated is fine.

    Reference:
        `pysaliency.metrics.NSS`, averaged; Peters et al., Vision Research 45, 2005.
    """
    values, fixations = _check_pair(saliency_map, fixations)
    return float(_standardized(values)[fixations.rows, fixations.columns].mean())


def cc(saliency_map: ArrayLike, human_map: ArrayLike) -> float:
    """Pearson's correlation coefficient of two maps over the pixels.

    A constant saliency map gives 0. Against a constant human map the coefficient is not defined:
    NaN.

    Args:
        saliency_map, human_map: number [height, width], finite.

    Returns:
        Correlation in [-1, 1], or NaN.

    Raises:
        ValueError: the maps differ in size or are not finite.

    Reference:
        `pysaliency.metrics.CC`.
    """
    values, human = _check_maps(saliency_map, human_map)
    if _is_constant(human):
        return float("nan")
    return float((_standardized(values) * _standardized(human)).mean())


def sim(saliency_map: ArrayLike, human_map: ArrayLike) -> float:
    """Similarity (histogram intersection) of two maps: the sum over the pixels of min(s, g).

    A map becomes a density by dividing by its sum, after subtracting its minimum if that is
    negative; a map of zeros becomes the uniform density.

    Args:
        saliency_map, human_map: number [height, width], finite.

    Returns:
        Similarity in [0, 1]; 1 for equal densities.

    Raises:
        ValueError: the maps differ in size or are not finite.

    Reference:
        `pysaliency.metrics.SIM`.
    """
    values, human = _check_maps(saliency_map, human_map)
    return float(np.minimum(_density(values), _density(human)).sum())


def kl(saliency_map: ArrayLike, human_map: ArrayLike) -> float:
    """Kullback-Leibler divergence of the saliency map's density from the human map's.

    The sum over the pixels of g * log(eps + g / (s + eps)), eps = 2.2204e-16, natural logarithm;
    densities as in `sim`. Not symmetric: the human map is the truth.

    Args:
        saliency_map, human_map: number [height, width], finite.

    Returns:
        Divergence in nats, 0 for equal densities, lower is better.

    Raises:
        ValueError: the maps differ in size or are not finite.

    Reference:
        `pysaliency.metrics.MIT_KLDiv`.
    """
    values, human = _check_maps(saliency_map, human_map)
    predicted, truth = _density(values), _density(human)
    return float((truth * np.log(KL_EPSILON + truth / (predicted + KL_EPSILON))).sum())


def _check_map(name: str, values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"Expected {name} of shape [height, width], received shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"Expected finite values in {name}, received NaN or infinity")
    return values


def _check_pair(saliency_map, fixations) -> tuple[np.ndarray, Fixations]:
    values = _check_map("saliency_map", saliency_map)
    if not isinstance(fixations, Fixations):
        fixations = Fixations.from_map(fixations)
    _check_sizes(values.shape, fixations.shape, "the fixations'")
    if not len(fixations):
        outside = f"; {fixations.num_outside} lie outside the image" * (fixations.num_outside > 0)
        raise ValueError(f"Expected at least one fixation inside the image, received none{outside}")
    return values, fixations


def _check_maps(saliency_map, human_map) -> tuple[np.ndarray, np.ndarray]:
    values = _check_map("saliency_map", saliency_map)
    human = _check_map("human_map", human_map)
    _check_sizes(values.shape, human.shape, "human_map's")
    return values, human


def _check_sizes(shape: tuple, other_shape: tuple, whose: str) -> None:
    if shape != other_shape:
        raise ValueError(
            f"Expected saliency_map of {whose} size {other_shape} (height, width), received "
            f"{shape}; sact_tf.saliency.resize_map brings a map to the image's size"
        )


def _count_at_least(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many of `values` [n] are >= each of the ascending `thresholds` (some of the values).

    The same as sorting all values, several times as fast: bins that ascend with the values are
    counted, and only values that share a bin with a threshold are sorted.
    """
    lowest, highest = values.min(), values.max()
    with np.errstate(over="ignore", divide="ignore"):
        scale = (_NUM_BINS - 1) / (highest - lowest)
    if not 0 < scale < np.inf:  # Constant, or a range beyond float64.
        return values.size - np.searchsorted(np.sort(values), thresholds)
    bins = ((values - lowest) * scale).astype(np.int32)
    threshold_bins = ((thresholds - lowest) * scale).astype(np.int32)
    has_threshold = np.zeros(_NUM_BINS, bool)
    has_threshold[threshold_bins] = True
    near = np.sort(values[has_threshold[bins]])
    near_bins = ((near - lowest) * scale).astype(np.int32)
    in_bins_up_to = np.cumsum(np.bincount(bins, minlength=_NUM_BINS))
    in_higher_bins = values.size - in_bins_up_to[threshold_bins]
    in_same_bin = np.searchsorted(near_bins, threshold_bins, "right") - np.searchsorted(
        near, thresholds
    )
    return in_higher_bins + in_same_bin


def _is_constant(values: np.ndarray) -> bool:
    # Not std == 0: the standard deviation of a constant map may be a rounding error above 0.
    return values.min() == values.max()


def _standardized(values: np.ndarray) -> np.ndarray:
    if _is_constant(values):
        return np.zeros_like(values)
    return (values - values.mean()) / values.std()


def _to_unit_range(values: np.ndarray) -> np.ndarray:
    if _is_constant(values):
        return np.zeros_like(values)
    return (values - values.min()) / (values.max() - values.min())


def _density(values: np.ndarray) -> np.ndarray:
    values = values - min(values.min(), 0)
    total = values.sum()
    return values / total if total else np.full(values.shape, 1 / values.size)
