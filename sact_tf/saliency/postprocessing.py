"""From a ponder cost map to a saliency map (section 4.3 of the paper).

ponder map -> resized to the image -> Gaussian blur -> scaled to [0, 1] -> combined with a map that
is highest in the middle of the image. The paper follows the MIT saliency benchmark there, as does
this file: its program that optimises a model's maps (cvzoya/saliency, `code_forOptimization`).

Resizing and blurring are linear and separable, so each axis is one matrix product, and both
together are one matrix of the size of the small map: [H, h] @ [h, w] @ [w, W].
"""

import functools

import numpy as np
from numpy.typing import ArrayLike

# Kernels end at this many standard deviations, as the benchmark's do.
_TRUNCATE = 5.0
# Side of the benchmark's centre map in cells, and its middle, counted from 1.
_CELLS, _MIDDLE_CELL = 100, 50
# Of maps in [0, 1]. Flat areas of a map differ by rounding errors after a matrix product; rounding
# makes them ties again, so that AUC-Judd does not depend on the machine's arithmetic.
_DECIMALS = 12


def resize_map(values: ArrayLike, height: int, width: int) -> np.ndarray:
    """Resizes a map bilinearly.

    Half-pixel centres; when shrinking, the triangle kernel is widened by the factor, so that every
    input pixel counts (as in Pillow's `BILINEAR` and `tf.image.resize(antialias=True)`).

    Args:
        values: number [h, w].
        height, width: size of the result in pixels.

    Returns:
        float64 [height, width].

    Raises:
        ValueError: `values` is not a finite map, or the size is not positive.
    """
    return resize_and_blur(values, height, width, 0.0)


def gaussian_blur(values: ArrayLike, sigma: float) -> np.ndarray:
    """Blurs a map with a Gaussian, mirrored at the borders (the edge pixel is repeated once).

    The same as `scipy.ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=5)`: what
    lies outside the image does not darken its edges.

    Args:
        values: number [h, w].
        sigma: standard deviation in pixels; 0 leaves the map as it is.

    Returns:
        float64 [h, w].

    Raises:
        ValueError: `values` is not a finite map, or `sigma` is negative.
    """
    height, width = _check_map(values).shape
    return resize_and_blur(values, height, width, sigma)


def resize_and_blur(values: ArrayLike, height: int, width: int, sigma: float) -> np.ndarray:
    """`gaussian_blur(resize_map(values, height, width), sigma)` in the time of the small map.

    Args:
        values: number [h, w].
        height, width: size of the result in pixels.
        sigma: standard deviation of the blur in pixels of the result.

    Returns:
        float64 [height, width]. A constant map stays exactly constant.

    Raises:
        ValueError: `values` is not a finite map, the size is not positive, or `sigma` is negative.
    """
    small = _check_map(values)
    if height < 1 or width < 1:
        raise ValueError(f"Expected a positive size, received height={height}, width={width}")
    if not sigma >= 0:
        raise ValueError(f"Expected sigma to be at least 0, received sigma={sigma}")
    vertical = _axis_matrix(small.shape[0], int(height), float(sigma))
    horizontal = _axis_matrix(small.shape[1], int(width), float(sigma))
    # Differences to the minimum, so that a constant map comes out without rounding noise, which
    # scaling to [0, 1] would blow up.
    lowest = small.min()
    return vertical @ (small - lowest) @ horizontal.T + lowest


def scale_to_unit_range(values: ArrayLike) -> np.ndarray:
    """Scales a map linearly to [0, 1], rounded to 12 decimals; a constant map becomes zeros.

    Args:
        values: number [h, w].

    Returns:
        float64 [h, w].

    Raises:
        ValueError: `values` is not a finite map.
    """
    checked = _check_map(values)
    scaled = checked - checked.min()
    highest = scaled.max()
    return np.round(scaled / highest, _DECIMALS) if highest else scaled


def center_baseline(height: int, width: int, relative_width: float | None = None) -> np.ndarray:
    """A map that is highest in the middle of the image, stretched to the image's aspect.

    By default the benchmark's: 1 - (y² + x²) / (2·50²) on 100 x 100 cells, y and x in cells from
    cell (50, 50), counted from 1; 1 there and 0 in the far corner. With a `relative_width` r the
    Gaussian exp(-(y² / (r·height)² + x² / (r·width)²) / 2), y and x in pixels from the middle.
    Their contours are the same ellipses, but for half a cell.

    Args:
        height, width: size of the image in pixels.
        relative_width: standard deviation as a share of the image's height and width.

    Returns:
        float64 [height, width] in [0, 1].

    Raises:
        ValueError: an argument is not positive.
    """
    if height < 1 or width < 1 or not (relative_width is None or relative_width > 0):
        raise ValueError(
            "Expected positive height, width and relative_width, received "
            f"{height}, {width} and {relative_width}"
        )
    return _center_baseline(int(height), int(width), relative_width).copy()


def combine_with_center(values: ArrayLike, center: ArrayLike, center_weight: float) -> np.ndarray:
    """(1 - center_weight) · values + center_weight · center.

    Args:
        values, center: number [h, w] in [0, 1].
        center_weight: share of the centre baseline, 0 to 1.

    Returns:
        float64 [h, w] in [0, 1].

    Raises:
        ValueError: `center_weight` is not in [0, 1].
    """
    if not 0 <= center_weight <= 1:
        raise ValueError(
            f"Expected center_weight to be between 0 and 1, received center_weight={center_weight}"
        )
    return (1 - center_weight) * np.asarray(values) + center_weight * np.asarray(center)


def saliency_from_ponder(
    ponder_map: ArrayLike,
    height: int,
    width: int,
    *,
    sigma: float,
    center_weight: float,
    center_width: float | None = None,
) -> np.ndarray:
    """The paper's whole post-processing of one ponder cost map.

    Args:
        ponder_map: number [h, w], total ponder cost of each position at any resolution.
        height, width: size of the image in pixels.
        sigma: standard deviation of the blur in pixels of the image.
        center_weight: share of the centre baseline, 0 to 1.
        center_width: `relative_width` of `center_baseline`.

    Returns:
        float64 [height, width] in [0, 1].

    Reference:
        Section 4.3 of https://arxiv.org/abs/1612.02297.
    """
    blurred = scale_to_unit_range(resize_and_blur(ponder_map, height, width, sigma))
    center = center_baseline(height, width, center_width)
    return combine_with_center(blurred, center, center_weight)


def softmax_map(values: ArrayLike, temperature: float = 0.2) -> np.ndarray:
    """Softmax over the pixels: exp(values / temperature), divided by its sum.

    Args:
        values: number [h, w].
        temperature: lower is more peaked; figure 11 of the paper has 1/5.

    Returns:
        float64 [h, w], sum 1.

    Raises:
        ValueError: `values` is not a finite map, or `temperature` is not positive.
    """
    values = _check_map(values)
    if not temperature > 0:
        raise ValueError(f"Expected a positive temperature, received temperature={temperature}")
    exponentials = np.exp((values - values.max()) / temperature)
    return exponentials / exponentials.sum()


def _check_map(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"Expected a map of shape [height, width], received shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("Expected a map of finite values, received NaN or infinity")
    return values


@functools.lru_cache(maxsize=4)
def _center_baseline(height: int, width: int, relative_width: float | None) -> np.ndarray:
    if relative_width is None:
        squares = (np.arange(1, _CELLS + 1) - _MIDDLE_CELL) ** 2 / (2 * _MIDDLE_CELL**2)
        cells = 1 - squares[:, None] - squares
        return np.round(resize_map(cells, height, width), _DECIMALS)
    y = (2 * np.arange(height) + 1 - height) / (2 * relative_width * height)
    x = (2 * np.arange(width) + 1 - width) / (2 * relative_width * width)
    # Rounded for the same reason as maps are: many pixels are equally far from the middle.
    return np.exp(-np.round(y[:, None] ** 2 + x**2, _DECIMALS) / 2)


@functools.lru_cache(maxsize=64)
def _axis_matrix(size: int, new_size: int, sigma: float) -> np.ndarray:
    """[new_size, size]: resizes one axis, then blurs it. Read-only, because it is shared."""
    matrix = _resize_matrix(size, new_size)
    if sigma:
        matrix = _blur_matrix(new_size, sigma) @ matrix
    matrix.flags.writeable = False
    return matrix


def _resize_matrix(size: int, new_size: int) -> np.ndarray:
    if size == new_size:
        return np.eye(size)
    scale = size / new_size
    support = max(scale, 1.0)
    centers = (np.arange(new_size) + 0.5) * scale
    distances = np.abs(np.arange(size) + 0.5 - centers[:, None])
    weights = np.maximum(1 - distances / support, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    radius = int(_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    # Positions outside fold back: ... 1 0 | 0 1 2 ... size-1 | size-1 size-2 ...
    sources = (np.arange(size)[:, None] + offsets) % (2 * size)
    sources = np.minimum(sources, 2 * size - 1 - sources)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], sources), kernel)
    return matrix
