"""Pictures of detections."""

import io

import numpy as np
from PIL import Image

from sact_tf.visualization import figures
from sact_tf.visualization.detections import DetectionSample, detections_figure, draw_boxes


def test_boxes_are_drawn_on_their_edges_and_nowhere_else():
    image = np.full([40, 60, 3], 90, np.uint8)
    drawn = draw_boxes(image, np.array([[10, 20, 30, 50]]))
    changed = (drawn != image).any(axis=2)
    expected = np.zeros([40, 60], bool)
    expected[10:30, 20:50] = True
    expected[11:29, 21:49] = False
    np.testing.assert_array_equal(changed, expected)
    assert (image == 90).all()


def test_scale_and_captions():
    image = np.zeros([40, 60, 3], np.uint8)
    drawn = draw_boxes(image, np.array([[20, 5, 38, 30]]), ["cat 90%"], [2], scale=4)
    assert drawn.shape == (160, 240, 3)
    plain = draw_boxes(image, np.array([[20, 5, 38, 30]]), labels=[2], scale=4)
    above = (drawn != plain).any(axis=2)
    rows = np.nonzero(above.any(axis=1))[0]
    assert 50 < rows.min() and rows.max() <= 80 + 4  # On top of the box.


def test_boxes_of_no_extent_and_at_the_border_are_drawable():
    image = np.zeros([8, 8, 3], np.uint8)
    boxes = np.array([[3, 3, 3, 3], [0, 0, 8, 8], [0, 5, 0.5, 8]])
    assert draw_boxes(image, boxes, ["a", "b", "c"]).shape == (8, 8, 3)
    np.testing.assert_array_equal(draw_boxes(image, np.zeros([0, 4])), image)


def test_figure_of_several_sizes():
    samples = [
        DetectionSample(
            np.zeros([height, 50, 3], np.uint8), np.array([[1, 1, 9, 9]]), ["x"], [0],
            np.arange(6.0).reshape(2, 3), "40 %",
        )
        for height in (30, 40, 20)
    ]  # fmt: skip
    picture = figures.render(lambda theme: detections_figure(samples, (0, 5), theme=theme))
    for png in (picture.light, picture.dark, picture.standalone):
        assert min(Image.open(io.BytesIO(png)).size) > 200


def test_captions_may_hold_any_characters():
    image, box = np.full([40, 60, 3], 90, np.uint8), np.array([[10, 20, 30, 50]])
    for caption in ("\udcff", "\u732b", "$1_a_b", "a\nb\tc"):
        drawn = draw_boxes(image, box, [caption], scale=4)
        assert (drawn != draw_boxes(image, box, scale=4)).any()
