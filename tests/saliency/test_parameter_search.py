import numpy as np
import pytest

from sact_tf import saliency
from sact_tf.errors import UserError
from sact_tf.saliency import Fixations, ParameterGrid


def test_search_scores_are_the_metric_of_every_combination():
    rng = np.random.default_rng(0)
    ponder_map = rng.random((9, 16))
    fixations = Fixations.from_points(rng.integers(0, 90, 30), rng.integers(0, 160, 30), 90, 160)
    grid = ParameterGrid((0.0, 0.05), (0.5, 0.8), center_width=0.25, height=45, width=80)
    scores = saliency.search_scores(ponder_map, fixations, grid)
    small = Fixations.from_points(fixations.rows // 2, fixations.columns // 2, 45, 80)
    for i, sigma in enumerate((0.0, 4.0)):
        for j, weight in enumerate((0.0, 0.5, 0.8)):
            expected = saliency.saliency_from_ponder(
                ponder_map, 45, 80, sigma=sigma, center_weight=weight, center_width=0.25
            )
            assert scores[i, j] == saliency.auc_judd(expected, small)


def test_fixations_that_leave_nothing_at_the_size_of_the_search():
    everywhere = np.zeros((20, 20))
    everywhere[::2, ::2] = 1
    grid = ParameterGrid((0.0,), (1.0,), height=10, width=10)
    with pytest.raises(UserError, match="every pixel is fixated at the 10x10 pixels of the search"):
        saliency.search_scores(np.eye(10), Fixations.from_map(everywhere), grid)
    everywhere[0, 0] = 0
    saliency.search_scores(np.eye(10), Fixations.from_map(everywhere), grid)


def test_choose_takes_the_best_mean():
    grid = ParameterGrid((0.0, 0.1, 0.2), (0.4, 0.8))
    scores = np.zeros((2, 3, 3))
    scores[0, 0, 1] = 0.9  # Best for one image only.
    scores[:, 1, 2] = 0.6
    scores[:, 2, 0] = 0.5  # The first column is the ponder map alone.
    result = saliency.choose(scores, grid)
    assert (result.blur_size, result.center_weight) == (0.1, 0.8)
    assert result.auc_judd == pytest.approx(0.6)
    assert result.ponder_blur_size == 0.2
    assert result.ponder_auc_judd == pytest.approx(0.5)
    assert result.at_edge == ("center_weight", "ponder_blur_size")
    scores[:, 2, 0] = 0.7  # The centre helps nowhere.
    result = saliency.choose(scores, grid)
    assert (result.blur_size, result.center_weight, result.auc_judd) == (0.2, 0.0, 0.7)
    assert result.at_edge == ("blur_size", "ponder_blur_size")


@pytest.mark.parametrize(("column", "weight"), [(0, 0.0), (2, 1.0)])
def test_what_cannot_be_wider_is_no_edge(column, weight):
    scores = np.zeros((1, 2, 3))
    scores[:, 0, column] = 1
    result = saliency.choose(scores, ParameterGrid((0.0, 0.1), (0.5, 1.0)))
    assert (result.blur_size, result.center_weight) == (0.0, weight)
    assert result.at_edge == ()


def test_grid_values_are_sorted_and_single():
    grid = ParameterGrid((0.1, 0, 0.1), (1, 0.5))
    assert grid.blur_sizes == (0.0, 0.1)
    assert grid.center_weights == (0.5, 1.0)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"blur_sizes": ()}, "blur_sizes"),
        ({"blur_sizes": (-0.1,)}, "blur_sizes"),
        ({"center_weights": (np.nan,)}, "center_weights"),
        ({"center_weights": (1.5,)}, "center_weights"),
        ({"blur_sizes": (np.inf,)}, "blur_sizes"),
        ({"center_width": 0.0}, "center_width"),
        ({"height": 0}, "height"),
    ],
)
def test_impossible_grids(arguments, name):
    with pytest.raises(ValueError, match=f"Expected {name}"):
        ParameterGrid(**arguments)


@pytest.mark.parametrize("shape", [(0, 1, 2), (3, 1, 1), (1, 2)])
def test_choose_refuses_scores_of_another_grid(shape):
    with pytest.raises(ValueError, match="Expected scores of shape"):
        saliency.choose(np.zeros(shape), ParameterGrid((0.1,), (1.0,)))
