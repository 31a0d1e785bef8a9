"""Figure 11 of the paper: image, human map, saliency from the ponder map, its softmax."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from tqdm import tqdm

from sact_tf import saliency
from sact_tf.files import atomic_path
from sact_tf.training.experiments.cat2000.maps import CachedMap

SOFTMAX_TEMPERATURE = 0.2
_COLUMNS = ("image", "human", "ponder map, blurred,\nwith centre", "softmax, T = 1/5")
_PANEL_WIDTH = 480  # Pixels; figures of full-size images would be tens of megabytes.
_INCHES = 2.4


def draw_categories(
    directory: pathlib.Path,
    maps: Sequence[CachedMap],
    num_images: int,
    saliency_map: Callable[[CachedMap], np.ndarray],
    note: str,
) -> int:
    """Draws the first images of every category into `CATEGORY.png`.

    Args:
        directory: where.
        maps: of the images.
        num_images: per category; nothing is drawn for 0.
        saliency_map: gives the saliency map [H, W] of an image.
        note: small print under each figure.

    Returns:
        The number of figures.
    """
    if not num_images:
        return 0
    categories = list(dict.fromkeys(cached.image.category for cached in maps))
    for category in tqdm(categories, desc="figure 11", disable=None):
        group = [cached for cached in maps if cached.image.category == category][:num_images]
        rows = [
            (
                cached.image.stem,
                cached.image.read_image(),
                cached.image.read_human_map(),
                saliency_map(cached),
            )
            for cached in group
        ]
        draw(directory / f"{category}.png", category, rows, note)
    return len(categories)


def draw(path: pathlib.Path, title: str, rows: Sequence[tuple], note: str = "") -> None:
    """Draws one row of four panels per image.

    Args:
        path: the PNG file to write.
        title: of the figure.
        rows: (name, image uint8 [H, W, 3], human map [H, W], saliency map [H, W]) of each image;
            at least one.
        note: small print under the figure.
    """
    # Figure, not pyplot: pyplot keeps state and asks for a display.
    from matplotlib.figure import Figure

    from sact_tf.visualization.figures import make_legible

    aspect = max(image.shape[0] / image.shape[1] for _, image, _, _ in rows)
    row_height = _INCHES * aspect + 0.08
    margins = {"top": 0.75, "bottom": 0.3}
    height = len(rows) * row_height + sum(margins.values())
    figure = Figure(figsize=(4 * (_INCHES + 0.08) + 0.4, height))
    axes = figure.subplots(len(rows), 4, squeeze=False)
    figure.subplots_adjust(
        left=0.04,
        right=0.99,
        top=1 - margins["top"] / height,
        bottom=margins["bottom"] / height,
        wspace=0.03,
        hspace=0.06,
    )
    for row, (name, image, human_map, saliency_map) in zip(axes, rows, strict=True):
        panels = (
            image,
            human_map,
            saliency_map,
            saliency.softmax_map(saliency_map, SOFTMAX_TEMPERATURE),
        )
        for axis, panel in zip(row, panels, strict=True):
            axis.imshow(_shrunk(panel), cmap="inferno", interpolation="bilinear")
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(name, fontsize=8)
    for axis, column in zip(axes[0], _COLUMNS, strict=True):
        axis.set_title(column, fontsize=9)
    figure.suptitle(title, fontsize=11, y=1 - 0.08 / height, va="top")
    figure.text(0.04, 0.06 / height, note, fontsize=7, va="bottom")
    make_legible(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _shrunk(panel: np.ndarray) -> np.ndarray:
    height, width = panel.shape[:2]
    if width <= _PANEL_WIDTH:
        return panel
    size = (max(1, round(height * _PANEL_WIDTH / width)), _PANEL_WIDTH)
    if panel.ndim == 2:
        return saliency.resize_map(panel, *size)
    channels = [saliency.resize_map(panel[..., c], *size) for c in range(3)]
    return np.clip(np.round(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)
