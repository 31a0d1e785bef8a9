"""Pictures of ponder cost maps of photographs, and the page that shows them (figures 8 and 9)."""

import html as html_text
import pathlib
import re
import urllib.parse
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from sact_tf.training.images.ponder import PonderedImage
from sact_tf.visualization import figures, html, ponder_maps

_PANEL = 2.1  # Inches.
_SHORTEST_OVERLAY = 300  # Pixels; tiny images are enlarged so that one sees something.
_GROUPS = ("Low", "Middle", "High")

Limits = Mapping[str, tuple[float, float]]


def maps_figure(
    image: PonderedImage, shown: np.ndarray, limits: Limits, theme: figures.Theme
) -> Figure:
    """Draws image, image under the total map, total map, and the map of each block.

    Args:
        image: what to draw.
        shown: the image itself, uint8 [H, W, 3].
        limits: colour scale of `total` and of each block, shared by all images of a page.
        theme: colours.
    """
    height, width = shown.shape[:2]
    maps = {"total": image.total_map, **image.block_maps}
    columns = 2 + len(maps)
    # Very long or tall images keep a readable panel.
    aspect = float(np.clip(height / width, 0.25, 2.5))
    figure = Figure(figsize=(_PANEL * columns, _PANEL * aspect + 0.75))
    axes = figure.subplots(1, columns)
    extent = (0, width, height, 0)
    overlaid = ponder_maps.overlay(shown, image.total_map, limits["total"])
    panels = [("image", shown, None), ("total over the image", overlaid, None)]
    for name, ponder_map in maps.items():
        colors = ponder_maps.colorize(ponder_map, limits[name])
        panels.append((f"{name}: {ponder_map.mean():.2f}", colors, limits[name]))
    for axis, (title, panel, scale) in zip(axes, panels, strict=True):
        axis.imshow(panel, extent=extent, interpolation="nearest" if scale else None)
        axis.set_title(title, fontsize=9)
        mappable = ScalarMappable(Normalize(*(scale or (0, 1))), ponder_maps.COLORMAP)
        bar = figure.colorbar(mappable, ax=axis, orientation="horizontal", fraction=0.06, pad=0.04)
        bar.outline.set_edgecolor(theme.muted)
        bar.ax.tick_params(labelsize=7)
        bar.ax.grid(False)
        # Also where there is nothing to explain, so that all panels stand in one line.
        bar.ax.set_visible(scale is not None)
    for axis in axes:
        axis.set_axis_off()
    return figure


def maps_png(image: PonderedImage, shown: np.ndarray, limits: Limits) -> bytes:
    """`maps_figure` as a PNG file's bytes."""
    with figures.styled(figures.LIGHT):
        return figures.to_png(
            maps_figure(image, shown, limits, figures.LIGHT), 120, figures.LIGHT.page
        )


def overlay_image(image: PonderedImage, shown: np.ndarray, limits: Limits) -> Image.Image:
    """The total map over the image, at the size of `shown`."""
    factor = -(-_SHORTEST_OVERLAY // max(shown.shape[:2]))
    if factor > 1:
        shown = shown.repeat(factor, axis=0).repeat(factor, axis=1)
    return Image.fromarray(ponder_maps.overlay(shown, image.total_map, limits["total"]))


def file_names(paths: list[pathlib.Path]) -> list[str]:
    """A readable name for each file, no two alike."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = re.sub(r"[^\w.-]+", "_", path.stem)[:80] or "image"
        # Case does not tell files apart everywhere.
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def index_page(
    title: str, lead: str, entries: Sequence[tuple[float, str, str, str]], skipped: Sequence[str]
) -> str:
    """A page that shows all images in three groups of ascending cost.

    Args:
        title, lead: plain text.
        entries: (cost, file of the maps, file of the overlay, caption) of each image; the files
            relative to the page.
        skipped: why a file is missing, one plain text for each.
    """
    ordered = sorted(entries, key=lambda entry: entry[0])
    sections = {}
    for name, indices in zip(_GROUPS, np.array_split(np.arange(len(ordered)), 3), strict=True):
        chosen = [ordered[index] for index in indices]
        if chosen:
            heading = f"{name} ponder cost ({chosen[0][0]:.2f} to {chosen[-1][0]:.2f})"
            sections[heading] = [_figure(*entry[1:]) for entry in chosen]
    if skipped:
        items = "".join(f"<li>{html_text.escape(reason)}</li>" for reason in skipped)
        sections["Skipped files"] = [f"<ul>{items}</ul>"]
    return html.page(title, lead, sections)


def _figure(maps_file: str, overlay_file: str, caption: str) -> str:
    maps_link, overlay_link = (urllib.parse.quote(name) for name in (maps_file, overlay_file))
    text = html_text.escape(caption)
    return (
        f'<figure><a href="{maps_link}"><img src="{maps_link}" alt="{text}" loading="lazy"></a>'
        f'<figcaption>{text} (<a href="{overlay_link}">overlay in full size</a>)</figcaption>'
        "</figure>"
    )
