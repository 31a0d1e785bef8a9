"""Charts, curves and galleries: what is drawn where."""

import io
import itertools

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from sact_tf.visualization import charts, curves, figures, gallery


def _pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    image.load()
    return np.asarray(image.convert("RGBA"))


def _samples(count: int, box=None) -> list[gallery.Sample]:
    rng = np.random.default_rng(0)
    return [
        gallery.Sample(
            rng.integers(0, 255, [12, 12, 3], np.uint8), rng.random([6, 6]) + 2, f"{i}", box
        )
        for i in range(count)
    ]


def _gallery(count: int, box=None) -> figures.Picture:
    return _gallery_of({"Low": _samples(count, box), "High": _samples(1, box)})


def _gallery_of(rows) -> figures.Picture:
    return figures.render(lambda theme: gallery.gallery_figure(rows, (2.0, 3.0), theme=theme))


def test_render_gives_transparent_pictures_for_both_themes_and_a_white_one():
    picture = _gallery(2)
    light, dark, alone = map(_pixels, (picture.light, picture.dark, picture.standalone))
    assert light[0, 0, 3] == 0 and dark[0, 0, 3] == 0
    np.testing.assert_array_equal(alone[0, 0], [255] * 4)
    opaque_text = [pixels[pixels[..., 3] == 255][:, :3].mean() for pixels in (light, dark)]
    assert opaque_text[0] != opaque_text[1]


def test_the_standalone_picture_is_what_drawing_on_its_page_gives():
    rows = {"Low": _samples(2)}
    with figures.styled(figures.LIGHT):
        figure = gallery.gallery_figure(rows, (2.0, 3.0))
        drawn = _pixels(figures.to_png(figure, background=figures.LIGHT.page))
    alone = _pixels(_gallery_of(rows).standalone)
    assert np.abs(alone.astype(int) - drawn).max() <= 2  # Edges are rounded at another time.


def test_gallery_draws_the_box_on_image_and_map():
    red = [255, 77, 77, 255]
    assert not (_pixels(_gallery(2).standalone) == red).all(-1).any()
    rows = {"Low": _samples(1, box=(2, 3, 8, 9))}
    with figures.styled(figures.LIGHT):
        png = figures.to_png(gallery.gallery_figure(rows, (2.0, 3.0)), background="#ffffff")
    is_red = (_pixels(png) == red).all(-1)
    filled_rows = np.flatnonzero(is_red.any(axis=1))
    # Two boxes, one under the other, with a gap between image and map.
    assert (np.diff(filled_rows) > 1).sum() == 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 20])
def test_split_by_cost_gives_ascending_groups_without_overlap(count):
    costs = np.random.default_rng(1).random(count)
    groups = gallery.split_by_cost(costs, 3)
    indices = [index for group in groups.values() for index in group]
    assert len(set(indices)) == len(indices)
    assert (np.diff(costs[indices]) >= 0).all()
    assert indices[0] == costs.argmin()
    if count >= 9:
        assert {name: len(group) for name, group in groups.items()} == {
            "low": 3, "middle": 3, "high": 3,
        }  # fmt: skip
        assert groups["high"][-1] == costs.argmax()
        middle = sorted(costs)[(count - 3) // 2]
        assert costs[groups["middle"][0]] == middle


@pytest.mark.parametrize(
    "name", ["$1_a_b", "$x^{2", r"\alpha$", "a\udcff", "\U0001faa8\u732b", "a\tb"]
)
def test_names_of_classes_are_drawn_as_they_are(name, recwarn):
    samples = [gallery.Sample(np.zeros([4, 4, 3], np.uint8), np.eye(2), f"{name} (is {name})")]
    rows = {name: samples}
    with figures.styled(figures.LIGHT):
        figure = gallery.gallery_figure(rows, (0.0, 1.0))
        assert _pixels(figures.to_png(figure)).size
    shown = [text.get_text() for text in figure.findobj(Text)]
    assert figures.legible(name) in shown
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_what_no_font_has_is_shown_by_its_number():
    assert figures.legible("ok \u00d7 $\n") == "ok \u00d7 $\n"
    assert figures.legible("a\udcff\x1b") == r"a\xff\x1b"
    assert figures.legible("\ue123") == r"\ue123"  # Of private use: in no font.
    assert figures.legible(figures.legible("\ue123")) == r"\ue123"


def test_curves_show_every_series_band_and_reference():
    series = [curves.Series("a", [1, 2, 3], [1.0, 2.0, 3.0]), curves.Series("b", [1], [2.0], [0.5])]
    panel = curves.Panel("T", "u", series, reference=("plain", 5.0), limits=(0, 6))
    figure = curves.curves_figure([panel] * 3, columns=2)
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b", "plain"]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [1.0, 2.0, 3.0])
    assert axis.get_ylim() == (0, 6) and len(axis.collections) == 1
    assert (axis.get_title(loc="left") or axis.get_title()) == "T"
    assert [a.axison for a in figure.axes] == [True, True, True, False]
    assert _pixels(figures.to_png(figure)).size


def test_curves_of_a_run_without_records_are_still_drawn():
    panel = curves.Panel("T", "u", [curves.Series("a", [], []), curves.Series("b", [], [], [])])
    assert _pixels(figures.to_png(curves.curves_figure([panel]))).size


def test_a_curve_of_one_point_has_an_axis_from_the_start_of_training():
    panel = curves.Panel("T", "u", [curves.Series("a", [10], [0.99951])])
    axis = curves.curves_figure([panel]).axes[0]
    assert axis.get_xlim()[0] == 0 and axis.get_xlim()[1] > 10
    axis.figure.canvas.draw()
    assert axis.yaxis.get_major_formatter().get_offset() == ""


@pytest.mark.parametrize("count", [1, 2, 12])
def test_unit_usage_counts_units_in_whole_numbers_below_titles_that_fit(count):
    usage = {"block1": [1.0] * count, "block2": [1.0, 0.5], "block3": [1.0]}
    with figures.styled(figures.LIGHT):
        figure = charts.unit_usage_figure(usage, {name: 1.0 for name in usage})
        figures.to_png(figure)  # lays it out
    assert [int(tick) for tick in figure.axes[0].get_xticks()] == list(range(1, count + 1))
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    boxes = [axis._left_title.get_window_extent() if box.width == 0 else box
             for axis, box in zip(figure.axes, boxes, strict=True)]  # fmt: skip
    for before, after in itertools.pairwise(boxes):
        assert before.width > 0 and before.x1 < after.x0


def test_unit_usage_has_one_bar_per_unit():
    usage = {"block1": [1.0, 0.5], "block2": [1.0, 0.25, 0.0]}
    figure = charts.unit_usage_figure(usage, {"block1": 1.5, "block2": 1.25})
    for axis, shares in zip(figure.axes, usage.values(), strict=True):
        assert [bar.get_height() for bar in axis.patches] == shares
    assert "1.50 of 2" in (figure.axes[0].get_title(loc="left") + figure.axes[0].get_title())


@pytest.mark.parametrize("flops", [[10.0, 20.0, 30.0], [20.0, 20.0]])
def test_flops_histogram_counts_every_image(flops):
    figure = charts.flops_figure(np.array(flops) * 1e6, 40e6)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == len(flops)
    assert figure.axes[0].get_xlabel() == "MFLOPs per image"


def test_flops_unit_fits_the_size():
    assert charts.flops_unit(15.6e9) == (1e9, "GFLOPs")
    assert charts.flops_unit(999) == (1.0, "FLOPs")
