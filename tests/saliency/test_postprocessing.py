import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from PIL import Image

from sact_tf import saliency


def _random_map(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width))


@pytest.mark.parametrize("size", [(18, 32), (7, 5), (40, 9), (1, 1), (12, 20)])
def test_resize_map_is_antialiased_bilinear_resizing(size):
    small = _random_map(12, 20)
    expected = tf.image.resize(small[..., None], size, antialias=True)[..., 0]
    np.testing.assert_allclose(saliency.resize_map(small, *size), expected, atol=1e-6)
    pillow = Image.fromarray(small.astype(np.float32)).resize(size[::-1], Image.BILINEAR)
    np.testing.assert_allclose(saliency.resize_map(small, *size), pillow, atol=1e-6)


@pytest.mark.parametrize("shape", [(30, 50), (1, 20), (3, 2)])
@pytest.mark.parametrize("sigma", [0.5, 2, 7.3, 40])
def test_gaussian_blur_is_scipys(shape, sigma):
    values = _random_map(*shape)
    expected = scipy.ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=5)
    np.testing.assert_allclose(saliency.gaussian_blur(values, sigma), expected, atol=1e-10)


def test_no_blur_leaves_the_map():
    values = _random_map(4, 5)
    np.testing.assert_allclose(saliency.gaussian_blur(values, 0), values, rtol=0, atol=1e-15)


def test_resize_and_blur_is_the_one_after_the_other():
    values = _random_map(9, 16)
    expected = scipy.ndimage.gaussian_filter(saliency.resize_map(values, 54, 96), 5.0, truncate=5)
    np.testing.assert_allclose(saliency.resize_and_blur(values, 54, 96, 5.0), expected, atol=1e-12)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 23.7])
def test_constant_maps_stay_constant_to_the_end(value):
    constant = np.full((9, 16), value)
    blurred = saliency.resize_and_blur(constant, 54, 96, 5.0)
    assert (blurred == value).all()
    assert (saliency.scale_to_unit_range(blurred) == 0).all()


def test_scale_to_unit_range():
    expected = [[0, 0.25], [0.5, 1]]
    np.testing.assert_array_equal(saliency.scale_to_unit_range([[-2, 0], [2, 6]]), expected)


def test_rounding_errors_do_not_split_ties():
    # A flat map with one peak, through matrix products: what was equal must be equal again.
    values = np.full((45, 80), 19.8)
    values[20, 30], values[3, 4] = 26.0, 11.7
    scaled = saliency.scale_to_unit_range(saliency.resize_and_blur(values, 1080, 1920, 0.0))
    assert len(np.unique(scaled[600:, 1000:])) == 1


def test_center_baseline_follows_the_aspect():
    center = saliency.center_baseline(80, 160, relative_width=0.25)
    assert center.shape == (80, 160)
    # One standard deviation, 20 rows or 40 columns, from the middle: pixel centres straddle it.
    one_below, one_right = center[59:61, 79:81], center[39:41, 119:121]
    assert one_below.mean() == pytest.approx(np.exp(-0.5), abs=1e-3)
    assert one_right.mean() == pytest.approx(np.exp(-0.5), abs=1e-3)
    np.testing.assert_allclose(center, center[::-1, ::-1], atol=1e-15)
    assert 0.999 < center.max() <= 1
    odd = saliency.center_baseline(3, 5, 0.2)
    assert odd[1, 2] == 1 and odd.max() == 1


def test_center_baseline_is_the_benchmarks():
    center = saliency.center_baseline(200, 400)
    assert center.shape == (200, 400) and 0 <= center.min() < center.max() <= 1
    # Cells are 2 rows high and 4 columns wide; cell 50, counted from 1, ends at row 100.
    assert center[98:100, 196:200].mean() == pytest.approx(1, abs=1e-3)
    side = 1 - 49**2 / (2 * 50**2)
    np.testing.assert_allclose(center[[0, 99], [198, 0]], [side, side], atol=2e-3)
    np.testing.assert_allclose(center[0, 0], 1 - 49**2 / 50**2, atol=1e-9)
    assert center[-1, -1] == 0
    # At its own resolution exactly the formula, row by row and column by column.
    cells = saliency.center_baseline(100, 100)
    assert cells[49, 49] == 1 and cells[29, 59] == pytest.approx(1 - (20**2 + 10**2) / 5000)


def test_combine_with_center():
    values, center = np.array([[0.0, 1.0]]), np.array([[1.0, 0.5]])
    np.testing.assert_allclose(saliency.combine_with_center(values, center, 0.75), [[0.75, 0.625]])
    np.testing.assert_array_equal(saliency.combine_with_center(values, center, 0), values)
    np.testing.assert_array_equal(saliency.combine_with_center(values, center, 1), center)


def test_saliency_from_ponder_is_the_papers_chain():
    ponder_map = _random_map(9, 16) * 20
    resized = saliency.resize_map(ponder_map, 54, 96)
    blurred = scipy.ndimage.gaussian_filter(resized, 3.0, truncate=5)
    y, x = np.mgrid[:54, :96]
    center = np.exp(-(((y - 26.5) / (0.3 * 54)) ** 2 + ((x - 47.5) / (0.3 * 96)) ** 2) / 2)
    expected = 0.3 * (blurred - blurred.min()) / (blurred.max() - blurred.min()) + 0.7 * center
    result = saliency.saliency_from_ponder(
        ponder_map, 54, 96, sigma=3.0, center_weight=0.7, center_width=0.3
    )
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_softmax_map():
    values = np.array([[0.0, 0.2], [0.4, 1000.0]])
    weights = np.exp([0, 1, 2])
    np.testing.assert_allclose(
        saliency.softmax_map(values[:, :1], 0.2).ravel(), weights[[0, 2]] / weights[[0, 2]].sum()
    )
    np.testing.assert_allclose(saliency.softmax_map(values, 0.2), [[0, 0], [0, 1]], atol=1e-12)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: saliency.resize_map(np.zeros((2, 2, 1)), 4, 4), "shape"),
        (lambda: saliency.resize_map(np.zeros((2, 2)), 0, 4), "height=0"),
        (lambda: saliency.resize_map([[np.nan]], 2, 2), "finite"),
        (lambda: saliency.gaussian_blur(np.zeros((2, 2)), -1), "sigma=-1"),
        (lambda: saliency.gaussian_blur(np.zeros((2, 2)), np.nan), "sigma=nan"),
        (lambda: saliency.center_baseline(2, 2, 0), "positive"),
        (lambda: saliency.combine_with_center([[0]], [[0]], -0.5), "center_weight=-0.5"),
        (lambda: saliency.combine_with_center([[0]], [[0]], 1.5), "between 0 and 1.*=1.5"),
        (lambda: saliency.softmax_map(np.zeros((2, 2)), 0), "temperature=0"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
