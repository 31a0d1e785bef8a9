"""How well a ponder cost map points at the object."""

import numpy as np
from scipy.stats import rankdata


def box_masks(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Marks the pixels whose centre lies inside the box.

    Args:
        boxes: [B, 4], (top, left, bottom, right) in pixels.
        height: of the masks.
        width: of the masks.

    Returns:
        bool [B, height, width].
    """
    top, left, bottom, right = np.asarray(boxes, np.float64).T[:, :, None]
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    inside_rows = (rows >= top) & (rows < bottom)
    inside_columns = (columns >= left) & (columns < right)
    return inside_rows[:, :, None] & inside_columns[:, None, :]


def localization_auc(ponder_maps: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each map as a predictor of "this pixel is in the box".

    The probability that a random pixel inside has a higher ponder cost than a random pixel outside;
    equal costs count half (midranks), so a constant map has 0.5.

    Args:
        ponder_maps: [B, height, width] at the resolution of the image, or [B, 1, 1].
        boxes: [B, 4], (top, left, bottom, right) in pixels of the map.

    Returns:
        float64 [B]; NaN where all pixels, or none, are in the box.
    """
    return mask_auc(ponder_maps, box_masks(boxes, *ponder_maps.shape[1:]))


def mask_auc(ponder_maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """As `localization_auc`, for objects of any shape.

    Args:
        ponder_maps: [B, height, width].
        masks: bool [B, height, width], the pixels of the objects.

    Returns:
        float64 [B]; NaN where all pixels, or none, are of objects.
    """
    ponder_maps = np.asarray(ponder_maps, np.float64)
    inside = masks.reshape(len(masks), -1)
    ranks = rankdata(ponder_maps.reshape(len(masks), -1), axis=1)
    positives = inside.sum(axis=1)
    negatives = inside.shape[1] - positives
    rank_sums = np.where(inside, ranks, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = (rank_sums - positives * (positives + 1) / 2) / (positives * negatives)
    return np.where((positives > 0) & (negatives > 0), areas, np.nan)
