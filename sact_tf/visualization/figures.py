"""What all figures share: themes, and figure to PNG."""

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator

import cycler
import matplotlib
from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours of a figure.

    Attributes:
        text: text, axes and ticks.
        muted: grid lines.
        page: background where a figure is saved by itself.
        cycle: colours of series, in order; distinguishable with colour-blind eyes.
    """

    text: str
    muted: str
    page: str
    cycle: tuple[str, ...]


LIGHT = Theme("#1f2328", "#d9dde3", "#ffffff", ("#2463b0", "#d1690e", "#138a6b", "#9b3fa0"))
DARK = Theme("#e3e6ea", "#3b424b", "#14171b", ("#6ea8f0", "#f0a257", "#4ccfa8", "#d184d8"))


@contextlib.contextmanager
def styled(theme: Theme) -> Iterator[None]:
    """Figures made in this context have the theme's colours."""
    with matplotlib.rc_context(
        {
            "axes.edgecolor": theme.text,
            "axes.facecolor": "none",
            "axes.grid": True,
            "axes.labelcolor": theme.text,
            "axes.linewidth": 0.8,
            "axes.prop_cycle": cycler.cycler(color=theme.cycle),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "font.size": 9,
            "grid.color": theme.muted,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "text.color": theme.text,
            "xtick.color": theme.text,
            "ytick.color": theme.text,
        }
    ):
        yield


def to_png(figure: Figure, dots_per_inch: int = 144, background: str = "none") -> bytes:
    """Renders a figure.

    Args:
        figure: the figure.
        dots_per_inch: resolution.
        background: a colour, or `none` for transparent.

    Returns:
        The bytes of a PNG file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor=background)
    return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class Picture:
    """One figure for pages of either theme, and to be used by itself.

    Attributes:
        light: PNG with a transparent background and dark text.
        dark: the same with light text.
        standalone: PNG with a white background.
    """

    light: bytes
    dark: bytes
    standalone: bytes


def render(draw: Callable[[Theme], Figure]) -> Picture:
    """Draws a figure in both themes.

    Args:
        draw: makes the figure; called once for each theme, inside its style.
    """
    with styled(LIGHT):
        figure = draw(LIGHT)
        light, standalone = to_png(figure), to_png(figure, background=LIGHT.page)
    with styled(DARK):
        dark = to_png(draw(DARK))
    return Picture(light, dark, standalone)
