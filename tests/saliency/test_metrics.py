"""Hand-computed cases, definitions written out pixel by pixel, and pysaliency's numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sact_tf import saliency
from sact_tf.saliency import Fixations, auc_judd, cc, kl, nss, sim


def _auc_by_definition(saliency_map, fixation_map):
    """Every threshold against every pixel."""
    positives = saliency_map[fixation_map > 0]
    negatives = saliency_map[fixation_map == 0]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(positives.tolist()), reverse=True):
        points.append(((negatives >= threshold).mean(), (positives >= threshold).mean()))
    points.append((1.0, 1.0))
    return sum(
        (x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False)
    )


# auc_judd


def test_auc_judd_of_a_hand_computed_case():
    # Thresholds 9 and 4. At 9: 1 of 2 fixated pixels, 0 of 4 others. At 4: both, and the 7 and 5.
    # Trapezoids: (0,0)-(0,.5)-(.5,1)-(1,1) = .5 * .75 + .5 = .875.
    saliency_map = [[9, 7, 5], [4, 3, 1]]
    fixation_map = [[1, 0, 0], [1, 0, 0]]
    assert auc_judd(saliency_map, fixation_map) == 0.875


def test_auc_judd_of_ties_between_fixated_pixels_and_others():
    # One threshold, 2: both fixated pixels and 1 of 2 others at once: (0,0)-(.5,1)-(1,1).
    assert auc_judd([[2, 2], [2, 0]], [[1, 0], [1, 0]]) == 0.75


def test_auc_judd_is_1_for_a_perfect_and_0_for_a_reversed_map():
    fixation_map = np.zeros((4, 5))
    fixation_map[1, 2] = fixation_map[3, 3] = 1
    assert auc_judd(fixation_map, fixation_map) == 1.0
    # The one threshold is below all other pixels: (0,0)-(1,1) would be .5; distinct values show it.
    reversed_map = np.ones((4, 5)) - fixation_map
    assert auc_judd(reversed_map, fixation_map) == 0.5
    ranks = np.arange(20.0).reshape(4, 5)
    lowest = np.zeros((4, 5))
    lowest[0, 0] = 1
    assert auc_judd(ranks, lowest) == 0.5  # One threshold: the curve is the diagonal.
    lowest[0, 1] = 1
    assert auc_judd(ranks, lowest) == 0.25  # (0,0)-(1,.5)-(1,1).


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e300])
def test_auc_judd_of_a_constant_map_is_one_half(value):
    fixation_map = np.zeros((6, 7))
    fixation_map[2, 3] = 1
    assert auc_judd(np.full((6, 7), value), fixation_map) == 0.5


def test_auc_judd_counts_each_location_once():
    saliency_map = np.random.default_rng(0).random((5, 6))
    once = Fixations.from_points([1, 2, 4], [0, 5, 3], 5, 6)
    often = Fixations.from_points([1, 1, 1, 2, 4], [0, 0, 0, 5, 3], 5, 6)
    assert auc_judd(saliency_map, often) == auc_judd(saliency_map, once)
    assert auc_judd(saliency_map, once.to_map() * 7) == auc_judd(saliency_map, once)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 12), st.integers(1, 300))
def test_auc_judd_follows_its_definition(seed, height, width, levels):
    rng = np.random.default_rng(seed)
    saliency_map = rng.integers(-levels, levels, (height, width)) / rng.choice([1, 3, 1e6, 1e-9])
    fixation_map = rng.random((height, width)) < rng.random()
    fixation_map.flat[:2] = 1, 0
    expected = _auc_by_definition(saliency_map, fixation_map)
    assert auc_judd(saliency_map, fixation_map) == pytest.approx(expected, abs=1e-12)


def test_auc_judd_of_nearly_equal_values_and_extreme_ranges():
    # Values that differ far below the resolution of any binning still have an order.
    rng = np.random.default_rng(1)
    fixation_map = rng.random((20, 20)) < 0.2
    fine = 1 + rng.integers(0, 50, (20, 20)) * 2.0**-50
    fine[0, 0] = 1e9
    extreme = rng.choice([-1.7e308, 0.0, 5e-324, 1.7e308], (20, 20))
    for saliency_map in (fine, extreme):
        expected = _auc_by_definition(saliency_map, fixation_map)
        assert auc_judd(saliency_map, fixation_map) == pytest.approx(expected, abs=1e-12)


def test_auc_judd_sees_only_the_order_of_values():
    rng = np.random.default_rng(2)
    saliency_map, fixation_map = rng.random((30, 40)), rng.random((30, 40)) < 0.05
    expected = auc_judd(saliency_map, fixation_map)
    assert auc_judd(np.exp(5 * saliency_map) - 100, fixation_map) == pytest.approx(expected)


def test_jitter_splits_ties_reproducibly():
    fixation_map = np.random.default_rng(3).random((60, 80)) < 0.1
    constant = np.zeros((60, 80))
    scores = [auc_judd(constant, fixation_map, jitter=True, seed=seed) for seed in range(5)]
    assert len(set(scores)) == 5
    assert max(abs(score - 0.5) for score in scores) < 0.06
    assert auc_judd(constant, fixation_map, jitter=True, seed=3) == scores[3]
    # It is far smaller than differences that mean something.
    ranks = np.arange(4800.0).reshape(60, 80)
    assert auc_judd(ranks, fixation_map, jitter=True) == auc_judd(ranks, fixation_map)


# The four that follow pysaliency


def _example():
    rng = np.random.default_rng(2016)
    first, second = rng.gamma(0.3, size=(9, 13)), rng.normal(size=(9, 13))
    return first, second, rng.random((9, 13)) < 0.1


def test_the_numbers_of_pysaliency():
    # pysaliency 0.2.22 on these arrays: NSS(...).mean(), CC, SIM, MIT_KLDiv.
    first, second, fixation_map = _example()
    assert nss(first, fixation_map) == pytest.approx(-0.334451388256686, abs=1e-9)
    assert cc(first, second) == pytest.approx(0.01573117500126656, abs=1e-9)
    assert sim(first, second) == pytest.approx(0.3720768900448444, abs=1e-9)
    assert sim(second, first) == pytest.approx(0.3720768900448444, abs=1e-9)
    assert kl(first, second) == pytest.approx(2.5024163022234727, abs=1e-9)
    assert kl(second, first) == pytest.approx(1.2776138198600229, abs=1e-9)


def test_nss_of_a_hand_computed_case():
    # Mean 2, population standard deviation sqrt(2): (4 - 2) / sqrt(2).
    assert nss([[4, 2, 1], [1, 1, 3]], [[1, 0, 0], [0, 0, 0]]) == pytest.approx(
        2 / math.sqrt(8 / 6)
    )


def test_nss_counts_repeated_points_each_time():
    saliency_map = [[0.0, 1.0]]  # Standardised: -1, 1.
    fixations = Fixations.from_points([0, 0, 0, 0], [1, 1, 1, 0], 1, 2)
    assert nss(saliency_map, fixations) == 0.5
    assert nss(saliency_map, fixations.to_map()) == 0.0


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7.0])
def test_constant_maps(value):
    # 0.1 and 1/3: their mean over many pixels is not exactly themselves.
    constant = np.full((17, 23), value)
    other = np.random.default_rng(4).random((17, 23))
    fixation_map = other > 0.9
    assert nss(constant, fixation_map) == 0.0
    assert cc(constant, other) == 0.0
    assert math.isnan(cc(other, constant))
    assert math.isnan(cc(constant, constant))
    density = other / other.sum()
    assert sim(constant, other) == pytest.approx(np.minimum(density, 1 / 391).sum())
    assert kl(constant, other) == pytest.approx((density * np.log(density * 391)).sum())


def test_cc_of_hand_computed_cases():
    assert cc([[1, 2, 3]], [[2, 4, 6]]) == pytest.approx(1)
    assert cc([[1, 2, 3]], [[6, 4, 2]]) == pytest.approx(-1)
    assert cc([[1, 2, 3]], [[1, 3, 2]]) == pytest.approx(0.5)


def test_sim_of_hand_computed_cases():
    assert sim([[1, 3]], [[2, 2]]) == pytest.approx(0.75)
    assert sim([[1, 0]], [[0, 5]]) == 0
    # A negative minimum is subtracted, a positive one is not: (0, 4) / 4 and (1, 3) / 4.
    assert sim([[-1, 3]], [[1, 3]]) == pytest.approx(0.75)
    assert sim([[0, 0]], [[1, 3]]) == pytest.approx(0.75)  # Zeros: uniform.


def test_kl_of_hand_computed_cases():
    assert kl([[1, 1]], [[1, 3]]) == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert kl([[1, 3]], [[1, 1]]) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert kl([[2, 5]], [[4, 10]]) == pytest.approx(0, abs=1e-12)
    # Nothing predicted where everybody looks: as much as epsilon allows.
    assert kl([[1, 0]], [[0, 1]]) == pytest.approx(-math.log(2.2204e-16))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["float", "negative", "integer", "sparse"]))
def test_the_definitions_written_out(seed, kind):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 9, 2))
    maps = {
        "float": rng.random((2, *shape)),
        "negative": rng.normal(size=(2, *shape)),
        "integer": rng.integers(0, 255, (2, *shape)).astype(np.uint8),
        "sparse": rng.random((2, *shape)) * (rng.random((2, *shape)) < 0.3),
    }[kind]
    maps[:, 0, :2] = [[0, 1], [1, 0]]  # None is constant.
    fixation_map = rng.random(shape) < 0.4
    fixation_map[1, 1] = True
    first, second = (m.astype(float).ravel().tolist() for m in maps)
    looked = [i for i, fixated in enumerate(fixation_map.ravel()) if fixated]

    def moments(values):
        mean = math.fsum(values) / len(values)
        return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))

    def density(values):
        values = [v - min(0.0, *values) for v in values]
        return [v / math.fsum(values) for v in values]

    (mean, std), (mean2, std2) = moments(first), moments(second)
    expected_nss = math.fsum((first[i] - mean) / std for i in looked) / len(looked)
    assert nss(maps[0], fixation_map) == pytest.approx(expected_nss, abs=1e-9)
    covariance = math.fsum(
        (a - mean) * (b - mean2) for a, b in zip(first, second, strict=True)
    ) / len(first)
    assert cc(*maps) == pytest.approx(covariance / std / std2, abs=1e-9)
    pairs = list(zip(density(first), density(second), strict=True))
    assert sim(*maps) == pytest.approx(math.fsum(min(p) for p in pairs), abs=1e-9)
    epsilon = 2.2204e-16
    divergence = math.fsum(g * math.log(epsilon + g / (s + epsilon)) for s, g in pairs)
    assert kl(*maps) == pytest.approx(divergence, abs=1e-9)


# Input that cannot be scored


@pytest.mark.parametrize("metric", [auc_judd, nss])
def test_no_fixations(metric):
    with pytest.raises(ValueError, match="at least one fixation inside the image, received none$"):
        metric(np.random.default_rng(0).random((3, 4)), np.zeros((3, 4)))
    outside = Fixations.from_points([-1, 9], [0, 0], 3, 4)
    with pytest.raises(ValueError, match="received none; 2 lie outside the image"):
        metric(np.random.default_rng(0).random((3, 4)), outside)


def test_auc_judd_needs_a_pixel_without_fixation():
    with pytest.raises(ValueError, match="all of them fixated"):
        auc_judd([[1, 2]], [[1, 1]])
    assert nss([[1, 2]], [[1, 1]]) == 0


@pytest.mark.parametrize("metric", [auc_judd, nss, cc, sim, kl])
def test_maps_of_another_size_are_refused_and_the_way_out_named(metric):
    saliency_map, image = np.random.default_rng(0).random((4, 6)), np.zeros((8, 12))
    image[3, 3] = 1
    with pytest.raises(ValueError, match=r"\(8, 12\).*received \(4, 6\).*resize_map"):
        metric(saliency_map, image)
    assert math.isfinite(metric(saliency.resize_map(saliency_map, 8, 12), image))


@pytest.mark.parametrize("metric", [auc_judd, nss, cc, sim, kl])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_refused(metric, bad):
    good = np.eye(3)
    with pytest.raises(ValueError, match="finite"):
        metric(np.where(good, bad, 0), good)
    with pytest.raises(ValueError, match="finite"):
        metric(good, np.where(good, bad, 0))


@pytest.mark.parametrize("metric", [auc_judd, nss, cc, sim, kl])
@pytest.mark.parametrize("shape", [(4,), (2, 2, 3), (0, 3)])
def test_maps_of_other_dimensions_are_refused(metric, shape):
    with pytest.raises(ValueError, match="shape"):
        metric(np.zeros(shape), np.eye(2))
    with pytest.raises(ValueError, match="shape"):
        metric(np.eye(2), np.ones(shape))
