"""Images beside their ponder cost maps, in rows of low, middle and high cost (figure 9)."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sact_tf.visualization import ponder_maps
from sact_tf.visualization.figures import LIGHT, Theme

_BOX_COLOR = "#ff4d4d"
_CELL = 1.02  # inches


@dataclasses.dataclass(frozen=True)
class Sample:
    """One image and what the network spent on it.

    Attributes:
        image: [height, width, 3], see `ponder_maps.displayable`.
        ponder_map: [map_height, map_width], any resolution.
        caption: one or two short lines under the map.
        box: (top, left, bottom, right) of the object in pixels of the image, or None.
    """

    image: np.ndarray
    ponder_map: np.ndarray
    caption: str = ""
    box: Sequence[float] | None = None


def split_by_cost(costs: Sequence[float], count: int) -> dict[str, list[int]]:
    """Picks the images of the lowest, the middle and the highest cost.

    Args:
        costs: one number per image.
        count: images per group; fewer where three groups of that size do not fit.

    Returns:
        Indices into `costs` in ascending order of cost, under `low`, `middle` and `high`; no index
        stands in two groups. Groups without an image are left out.
    """
    order = [int(index) for index in np.argsort(np.asarray(costs, np.float64), kind="stable")]
    count = min(count, max(1, len(order) // 3))
    first_middle = max(count, (len(order) - count) // 2)
    groups = {
        "low": order[:count],
        "middle": order[first_middle : first_middle + count],
        "high": order[max(first_middle + count, len(order) - count) :],
    }
    return {name: indices for name, indices in groups.items() if indices}


def gallery_figure(
    rows: Mapping[str, Sequence[Sample]],
    limits: tuple[float, float],
    colorbar_label: str = "ponder cost per position",
    theme: Theme = LIGHT,
) -> Figure:
    """Draws rows of images, each above its map, with one colour bar for all.

    Args:
        rows: title of each row, and its samples.
        limits: (first, last) value of the colour scale shared by all maps.
        colorbar_label: quantity and unit.
        theme: colours.
    """
    columns = max(len(samples) for samples in rows.values())
    figure = Figure(figsize=(_CELL * columns + 0.9, (2 * _CELL + 0.62) * len(rows)))
    # Every row of samples is a figure of its own, so that its title stays with it.
    bands = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for band, (title, samples) in zip(bands, rows.items(), strict=True):
        band.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        axes = band.subplots(2, columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for column, sample in enumerate(samples):
            _draw_sample(axes[0, column], axes[1, column], sample, limits)
        scale = ScalarMappable(Normalize(*limits), ponder_maps.COLORMAP)
        bar = band.colorbar(scale, ax=axes, fraction=0.05, pad=0.01, aspect=22)
        bar.outline.set_edgecolor(theme.muted)
        bar.set_label(colorbar_label, fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.ax.grid(False)
    return figure


def _draw_sample(top, bottom, sample: Sample, limits: tuple[float, float]) -> None:
    image = ponder_maps.displayable(sample.image)
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    top.imshow(image, extent=extent, interpolation="nearest")
    bottom.imshow(
        ponder_maps.colorize(sample.ponder_map, limits), extent=extent, interpolation="nearest"
    )
    if sample.box is not None:
        for axis in (top, bottom):
            y0, x0, y1, x1 = (float(value) for value in sample.box)
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, lw=1.1, ec=_BOX_COLOR))
    bottom.text(
        0.5, -0.06, sample.caption, transform=bottom.transAxes, ha="center", va="top", fontsize=7
    )
