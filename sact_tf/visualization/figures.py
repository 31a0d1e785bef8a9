"""What all figures share: themes, and figure to PNG."""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator

import cycler
import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from sact_tf.text import displayed, escaped

# DejaVu Sans comes with matplotlib; of the others those count that are installed.
_FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP",
    "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Microsoft YaHei", "SimHei", "Yu Gothic", "Meiryo", "MS Gothic", "Malgun Gothic", "PingFang SC",
    "Hiragino Sans", "Apple SD Gothic Neo", "Noto Sans KR", "Noto Sans Devanagari",
    "Noto Sans Thai", "Noto Sans Bengali", "Noto Sans Tamil", "Arial Unicode MS", "Unifont",
)  # fmt: skip


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
            "font.family": list(_installed_fonts()),
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


def legible(text: str) -> str:
    """`text` as the fonts here can draw it: other characters are written as `\\u732b`."""
    known = _characters()
    return "".join(
        character if character == "\n" or ord(character) in known else escaped(character)
        for character in displayed(text)
    )


def font_file(text: str) -> str:
    """The file of a font that has the characters of a text, as far as any has."""
    fonts = _installed_fonts()
    missing = {name: sum(ord(c) not in chars for c in text) for name, (_, chars) in fonts.items()}
    return fonts[min(missing, key=lambda name: missing[name])][0]


def make_legible(figure: Figure) -> None:
    """Makes each text of a figure what it says: no formulas (`$1_a`), no boxes for characters."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(legible(text.get_text()))


@functools.cache
def _installed_fonts() -> dict[str, tuple[str, frozenset[int]]]:
    """(file, characters it has) of each font, by its name."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = {}
    for name in _FONTS:
        if name in installed:
            file = font_manager.findfont(name)
            fonts[name] = str(file), frozenset(font_manager.get_font(file).get_charmap())
    return fonts


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset().union(*(characters for _, characters in _installed_fonts().values()))


def to_png(figure: Figure, dots_per_inch: int = 144, background: str = "none") -> bytes:
    """Renders a figure.

    Args:
        figure: the figure.
        dots_per_inch: resolution.
        background: a colour, or `none` for transparent.

    Returns:
        The bytes of a PNG file.
    """
    make_legible(figure)
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
        light = to_png(draw(LIGHT))
    with styled(DARK):
        dark = to_png(draw(DARK))
    return Picture(light, dark, _on_page(light))


def _on_page(light: bytes) -> bytes:
    """The picture on the background of its theme; drawing it once more takes far longer."""
    with Image.open(io.BytesIO(light)) as picture:
        page = Image.new("RGBA", picture.size, LIGHT.page)
        page.alpha_composite(picture.convert("RGBA"))
        buffer = io.BytesIO()
        page.save(buffer, format="png", dpi=picture.info["dpi"])
    return buffer.getvalue()
