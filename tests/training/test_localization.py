"""Ponder cost maps as predictors of where the object is."""

import numpy as np
from sklearn.metrics import roc_auc_score

from sact_tf.training.reports.localization import box_masks, localization_auc


def test_box_masks_hold_the_pixels_whose_centre_is_inside():
    masks = box_masks(np.array([[1.0, 0.0, 3.0, 2.0], [0.4, 0.6, 1.6, 2.6]]), 4, 3)
    np.testing.assert_array_equal(
        masks[0], np.array([[0, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    )
    np.testing.assert_array_equal(
        masks[1], np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
    )


def test_area_equals_scikit_learns_with_ties():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 4, [20, 9, 11]).astype(np.float32)
    boxes = np.stack(
        [
            rng.uniform(0, 3, 20),
            rng.uniform(0, 4, 20),
            rng.uniform(4, 9, 20),
            rng.uniform(5, 11, 20),
        ],
        axis=1,
    )
    expected = [
        roc_auc_score(mask.ravel(), ponder_map.ravel())
        for mask, ponder_map in zip(box_masks(boxes, 9, 11), maps, strict=True)
    ]
    np.testing.assert_allclose(localization_auc(maps, boxes), expected, rtol=1e-12)


def test_extremes():
    box = np.array([[0.0, 0.0, 2.0, 2.0]])
    inside = box_masks(box, 4, 4).astype(np.float64)
    assert localization_auc(inside, box) == 1.0
    assert localization_auc(-inside, box) == 0.0
    assert localization_auc(np.ones([1, 4, 4]), box) == 0.5
    whole = np.array([[0.0, 0.0, 4.0, 4.0]])
    assert np.isnan(localization_auc(inside, whole))
    assert np.isnan(localization_auc(inside, whole * 0)).all()
