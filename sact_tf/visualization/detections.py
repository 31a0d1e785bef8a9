"""Images with detections beside their ponder cost maps (figure 10)."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from sact_tf.visualization import figures, ponder_maps
from sact_tf.visualization.figures import LIGHT, Theme

# Distinguishable, also on each other; one per class, and again from the start.
_COLORS = (
    "#ff5c5c", "#4dabf7", "#69db7c", "#ffd43b", "#da77f2",
    "#ff922b", "#3bc9db", "#f783ac", "#a9e34b", "#b197fc",
)  # fmt: skip
_SHORTEST = 420  # Pixels of the shorter side; captions must be readable on small images.
_PANEL = 2.3  # Inches.


@dataclasses.dataclass(frozen=True)
class DetectionSample:
    """One image, what was found on it, and what that cost.

    Attributes:
        image: [H, W, 3], see `ponder_maps.displayable`.
        boxes: [N, 4], (ymin, xmin, ymax, xmax) in pixels of the image.
        captions: text at each box.
        labels: class of each box, for its colour.
        ponder_map: [h, w], any resolution.
        title: one short line over the map.
    """

    image: np.ndarray
    boxes: np.ndarray
    captions: Sequence[str]
    labels: Sequence[int]
    ponder_map: np.ndarray
    title: str = ""


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    captions: Sequence[str] = (),
    labels: Sequence[int] | None = None,
    scale: int = 1,
) -> np.ndarray:
    """Draws boxes on an image.

    Args:
        image: [H, W, 3], see `ponder_maps.displayable`.
        boxes: [N, 4], (ymin, xmin, ymax, xmax) in pixels.
        captions: one text per box, or none at all.
        labels: class of each box, for its colour; one colour for all if None.
        scale: how many times the result is larger than the image.

    Returns:
        uint8 [scale * H, scale * W, 3].
    """
    pixels = ponder_maps.displayable(image).repeat(scale, axis=0).repeat(scale, axis=1)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(picture)
    size = min(picture.size)
    captions = [figures.legible(caption) for caption in captions]
    font = ImageFont.truetype(figures.font_file("".join(captions)), max(10, size // 32))
    width = max(1, size // 200)
    labels = [0] * len(boxes) if labels is None else labels
    # The last one is drawn on top: let it be the best one.
    for number in reversed(range(len(boxes))):
        color = _COLORS[int(labels[number]) % len(_COLORS)]
        top, left, bottom, right = (float(value) * scale for value in boxes[number])
        draw.rectangle([left, top, max(left, right - 1), max(top, bottom - 1)], None, color, width)
        if captions:
            _draw_caption(draw, captions[number], left, top, color, font)
    return np.asarray(picture)


def detections_figure(
    samples: Sequence[DetectionSample],
    limits: tuple[float, float],
    columns: int = 2,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws pairs of an image with its detections and its ponder cost map.

    Args:
        samples: at least one.
        limits: (first, last) value of the colour scale that all maps share.
        columns: pairs in a row.
        theme: colours.
    """
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    aspects = [sample.image.shape[0] / sample.image.shape[1] for sample in samples]
    panel_height = _PANEL * float(np.clip(np.median(aspects), 0.4, 1.6)) + 0.3
    figure = Figure(figsize=(2 * _PANEL * columns + 0.8, panel_height * rows))
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, sample in enumerate(samples):
        row, column = divmod(number, columns)
        left, right = axes[row, 2 * column : 2 * column + 2]
        height, width = sample.image.shape[:2]
        scale = -(-_SHORTEST // min(height, width))
        left.imshow(
            draw_boxes(sample.image, sample.boxes, sample.captions, sample.labels, scale),
            extent=(0, width, height, 0),
        )
        right.imshow(
            ponder_maps.colorize(sample.ponder_map, limits),
            extent=(0, width, height, 0),
            interpolation="nearest",
        )
        right.set_title(sample.title, fontsize=8, fontweight="normal")
    bar = figure.colorbar(
        ScalarMappable(Normalize(*limits), ponder_maps.COLORMAP),
        ax=axes, fraction=0.03, pad=0.01, aspect=30, shrink=0.8,
    )  # fmt: skip
    bar.outline.set_edgecolor(theme.muted)
    bar.set_label("ponder cost per position", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.ax.grid(False)
    return figure


def _draw_caption(draw, text: str, left: float, top: float, color: str, font) -> None:
    x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=font)
    height = y1 - y0 + 4
    y = top - height if top >= height else top
    x = max(0.0, min(left, draw.im.size[0] - (x1 - x0) - 4))
    draw.rectangle([x, y, x + x1 - x0 + 4, y + height], fill=color)
    draw.text((x + 2 - x0, y + 2 - y0), text, fill="black", font=font)
