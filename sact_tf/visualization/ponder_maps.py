"""Ponder cost maps as colours.

Shapes: image uint8 [height, width, 3]; map float [map_height, map_width], any resolution.
"""

from collections.abc import Iterable

import matplotlib
import numpy as np
from PIL import Image

COLORMAP = "viridis"


def displayable(image: np.ndarray) -> np.ndarray:
    """Makes a network's input visible.

    A uint8 image stays as it is. Of a float image the smallest value becomes black and the largest
    white, because preprocessing such as per-image standardisation has no range of its own.

    Args:
        image: uint8 or float, [height, width, 3], or [height, width, 1] for grey.

    Returns:
        uint8 [height, width, 3].
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = image.astype(np.float64)
        low, high = image.min(), image.max()
        image = np.zeros_like(image) if high <= low else (image - low) / (high - low)
        image = np.round(image * 255).astype(np.uint8)
    return np.broadcast_to(image, (*image.shape[:2], 3))


def shared_limits(maps: Iterable[np.ndarray]) -> tuple[float, float]:
    """Returns the (lowest, highest) finite value of all maps: one colour scale for them all.

    Maps without any spread get a scale of length one around their value.

    Raises:
        ValueError: there is no finite value.
    """
    values = [np.asarray(ponder_map, np.float64) for ponder_map in maps]
    finite = [value[np.isfinite(value)] for value in values]
    finite = [value for value in finite if value.size]
    if not finite:
        raise ValueError("Expected maps with at least one finite value, received none")
    low = float(min(value.min() for value in finite))
    high = float(max(value.max() for value in finite))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def colorize(
    ponder_map: np.ndarray, limits: tuple[float, float], colormap: str = COLORMAP
) -> np.ndarray:
    """Colours a map.

    Args:
        ponder_map: [height, width].
        limits: values of the first and the last colour; what lies outside is clipped.
        colormap: a name of matplotlib's.

    Returns:
        uint8 [height, width, 3]. Values that are not finite are mid-grey.
    """
    ponder_map = np.asarray(ponder_map, np.float64)
    if ponder_map.ndim != 2:
        raise ValueError(f"Expected a map [height, width], received shape {ponder_map.shape}")
    low, high = limits
    finite = np.isfinite(ponder_map)
    scaled = np.clip((np.where(finite, ponder_map, low) - low) / (high - low), 0.0, 1.0)
    colors = matplotlib.colormaps[colormap](scaled)[..., :3]
    colors = np.round(colors * 255).astype(np.uint8)
    return np.where(finite[..., None], colors, np.uint8(128))


def resize_nearest(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes by nearest neighbour without half-pixel centres, as ponder maps are summed."""
    rows = np.arange(height) * array.shape[0] // height
    columns = np.arange(width) * array.shape[1] // width
    return array[rows][:, columns]


def overlay(
    image: np.ndarray,
    ponder_map: np.ndarray,
    limits: tuple[float, float],
    alpha: float = 0.55,
    colormap: str = COLORMAP,
) -> np.ndarray:
    """Lays the coloured map over a greyed image.

    Args:
        image: [height, width, 3], see `displayable`.
        ponder_map: [map_height, map_width]; brought to the image's size.
        limits: see `colorize`.
        alpha: share of the map's colour, from 0 to 1.
        colormap: a name of matplotlib's.

    Returns:
        uint8 [height, width, 3].
    """
    image = displayable(image)
    grey = np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"), np.float64)
    colors = colorize(resize_nearest(ponder_map, *image.shape[:2]), limits, colormap)
    return np.round((1 - alpha) * grey[..., None] + alpha * colors).astype(np.uint8)
