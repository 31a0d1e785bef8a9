"""The page that shows pictures of photographs, cheap ones first (figures 8 and 9)."""

import html as html_text
import pathlib
import re
import urllib.parse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sact_tf.data.images import read_image
from sact_tf.visualization import html

_GROUPS = ("Low", "Middle", "High")
# Pictures are for looking at; a camera's full resolution would make pages of hundreds of megabytes.
_LONGEST_SHOWN = 1000


class Entry(NamedTuple):
    """An image on the page.

    Attributes:
        cost: its ponder cost.
        picture, overlay: files, relative to the page.
        caption: plain text.
    """

    cost: float
    picture: str
    overlay: str
    caption: str


def read_shown(path: pathlib.Path) -> np.ndarray:
    """Reads an image file for pictures: uint8 [H, W, 3], at most 1000 pixels long.

    Raises:
        UserError: it is no readable image.
    """
    image = read_image(path)
    scale = _LONGEST_SHOWN / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[:2]]
    return np.round(tf.image.resize(image, size, antialias=True).numpy()).astype(np.uint8)


def file_names(paths: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
    """A readable name for each file, no two alike."""
    names: dict[pathlib.Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        stem = re.sub(r"[^\w.-]+", "_", path.stem)[:80] or "image"
        # Case does not tell files apart everywhere.
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name.lower())
        names[path] = name
    return names


def index_page(title: str, lead: str, entries: Sequence[Entry], skipped: Sequence[str]) -> str:
    """A page that shows all images in three groups of ascending cost.

    Args:
        title, lead: plain text.
        entries: one for each image.
        skipped: why a file is missing, one plain text for each.
    """
    ordered = sorted(entries, key=lambda entry: entry.cost)
    sections = {}
    for name, indices in zip(_GROUPS, np.array_split(np.arange(len(ordered)), 3), strict=True):
        chosen = [ordered[index] for index in indices]
        if chosen:
            heading = f"{name} ponder cost ({chosen[0].cost:.2f} to {chosen[-1].cost:.2f})"
            sections[heading] = [_figure(entry) for entry in chosen]
    if skipped:
        items = "".join(f"<li>{html_text.escape(reason)}</li>" for reason in skipped)
        sections["Skipped files"] = [f"<ul>{items}</ul>"]
    return html.page(title, lead, sections)


def _figure(entry: Entry) -> str:
    picture, overlay = (urllib.parse.quote(name) for name in (entry.picture, entry.overlay))
    text = html_text.escape(entry.caption)
    return (
        f'<figure><a href="{picture}"><img src="{picture}" alt="{text}" loading="lazy"></a>'
        f'<figcaption>{text} (<a href="{overlay}">overlay in full size</a>)</figcaption>'
        "</figure>"
    )
