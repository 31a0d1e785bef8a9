"""What is allowed in annotations, and warned about because it looks like a mistake."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from sact_tf.detection.data import CocoFolder, read_annotations
from tests.data.picture_files import smooth_picture
from tests.detection.coco_files import CATEGORIES, annotation, content, write_json, write_set

_SIZES = {number: (30, 40) for number in range(1, 11)}
_PREPROCESSING = {"name": "unit", "short_side": None, "long_side": None}


@pytest.fixture
def warnings(tmp_path, caplog):
    """Reads a file with these boxes, all of category 3, and returns what is warned about."""

    def read(boxes, categories=None, sizes=_SIZES):
        owners = [1 + number % len(sizes) for number in range(len(boxes))]
        objects = [
            annotation(n + 1, owner, list(box))
            for n, (owner, box) in enumerate(zip(owners, boxes, strict=True))
        ]
        path = write_json(tmp_path / "instances.json", content(sizes, objects, categories))
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            read_annotations(path)
        messages = [record.getMessage() for record in caplog.records]
        assert all(message.startswith(f"{path}: ") for message in messages)
        return [message.removeprefix(f"{path}: ") for message in messages]

    return read


def corners(seed=0, count=100):
    """Boxes of all sizes and places in images of 40 x 30 pixels, (x1, y1, x2, y2)."""
    generator = np.random.default_rng(seed)
    sides = generator.uniform(0.05, 1, [count, 2]) * [40, 30]
    first = generator.uniform(0, 1, [count, 2]) * ([40, 30] - sides)
    return np.concatenate([first, first + sides], axis=1)


def plain(seed=0, count=100):
    """The same as (x, y, width, height)."""
    boxes = corners(seed, count)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def test_good_annotations_are_not_doubted(warnings):
    assert warnings(plain()) == []
    assert warnings([[0, 0, 40, 30], [1, 0, 40, 30.5], [0, 1, 1, 1]]) == []


def test_normalised_boxes(warnings):
    (line,) = warnings(plain() / [40, 30, 40, 30])
    assert "100 of 100 boxes have four numbers from 0 to 1 and look normalised" in line
    (line,) = warnings([[3, 4, 5, 6], [0.25, 0.5, 0.125, 0.5], [0.25, 0.5, 0.25, 0.5]])
    assert line.startswith("2 of 3 boxes have four numbers from 0 to 1")
    assert line.endswith("such as [0.25, 0.5, 0.125, 0.5] of image 2 (40 x 30 pixels)")


class TestCorners:
    @pytest.mark.parametrize("seed", range(5))
    def test_corners_are_known(self, warnings, seed):
        (line,) = warnings(corners(seed))
        assert "boxes reach far beyond the border" in line and "x1, y1, x2, y2" in line

    def test_the_number_and_an_example(self, warnings):
        (line,) = warnings([[1, 2, 11, 12], [20, 15, 38, 28], [3, 3, 36, 29.5]])
        assert line.startswith("1 of 3 boxes reach far")
        assert line.endswith("such as [20, 15, 38, 28] of image 2 (40 x 30 pixels)")

    def test_boxes_that_are_cut_off_carelessly_are_none(self, warnings):
        large = np.array([[2, 1, 39, 30.5]] * 20)
        assert warnings(np.concatenate([large + np.arange(20)[:, None] / 100, plain()])) == []

    def test_moved_boxes_that_are_not_cut_off_are_none(self, warnings):
        moved = plain()
        moved[:, :2] += np.random.default_rng(3).uniform(-20, 20, [100, 2])
        keep = (moved[:, :2] < [40, 30]).all(1) & (moved[:, :2] + moved[:, 2:] > 0).all(1)
        assert warnings(moved[keep]) == []

    @pytest.mark.parametrize(
        "other, number",
        [
            ([1, 2, 20, 20], 90),  # Would lie inside as corners, but few boxes reach beyond.
            ([30, 20, 5, 5], 30),  # Many reach beyond, but the others are no corners.
        ],
    )
    def test_what_only_some_boxes_say_is_not_enough(self, warnings, other, number):
        def boxes(box, count):
            return np.array([box] * count, float) + np.arange(count)[:, None] / 100

        beyond = boxes([10, 10, 35, 27], 10)
        assert warnings([*boxes(other, number), *beyond]) == []
        assert "10 of 10 boxes reach far" in warnings(beyond)[0]

    def test_images_without_a_size_do_not_tell(self, warnings):
        assert warnings(corners(), sizes={number: (None, None) for number in _SIZES}) == []


def test_no_boxes_at_all(warnings):
    assert warnings([]) == ["there are no boxes at all"]


def test_repeated_boxes(warnings):
    boxes = plain(count=20)
    (line,) = warnings([*boxes, *boxes[:3], boxes[0]], sizes={1: (30, 40)})
    assert line.startswith("4 of 24 boxes repeat another one with the same image and category")
    # The same box in another image is another one.
    assert warnings([boxes[0]] * 10) == []


def test_two_categories_of_one_name(warnings):
    categories = [*CATEGORIES, {"id": 91, "name": "dog"}]
    (line,) = warnings(plain(), categories)
    assert "names of several categories" in line
    assert line.endswith(": 1, such as 'dog' (categories 7, 91)")


class TestOfAFolder:
    """What only the data set knows."""

    def _lines(self, tmp_path, caplog, objects, change=lambda value: None, picture=None):
        sizes = {1: (24, 32), 2: (24, 32), 3: (24, 32)}
        annotations, images = write_set(tmp_path / "train", sizes, objects)
        value = json.loads(annotations.read_text())
        change(value)
        write_json(annotations, value)
        if picture is not None:
            for number in (1, 2):
                Image.fromarray(picture).save(images / f"{number}.png")
        held_out = write_set(tmp_path / "other", {9: (24, 32)}, [annotation(1, 9, [1, 2, 9, 9])])
        with caplog.at_level(logging.WARNING):
            CocoFolder(annotations, images, *held_out, preprocessing=_PREPROCESSING)
        return [r.getMessage() for r in caplog.records]

    def _objects(self, *categories):
        return [annotation(n, 1, [n, 2, 9, 9], number) for n, number in enumerate(categories)]

    def test_categories_without_boxes_of_the_training_file(self, tmp_path, caplog):
        (line,) = self._lines(tmp_path, caplog, self._objects(7))
        assert "train/annotations.json: 2 of 3 categories have no boxes" in line
        assert line.endswith(": cat, owl")

    def test_no_boxes_are_one_line(self, tmp_path, caplog):
        (line,) = self._lines(tmp_path, caplog, [])
        assert "train/annotations.json: there are no boxes at all" in line

    @pytest.mark.parametrize("name", ["1.png", "./1.png", "../images/1.png"])
    def test_one_file_under_two_ids(self, tmp_path, caplog, name):
        def rename(value):
            value["images"][2]["file_name"] = name

        (line,) = self._lines(tmp_path, caplog, self._objects(3, 7, 90), rename)
        assert "1 of 2 image files stand under several ids" in line
        assert "images/1.png (images 1, 3)" in line

    @pytest.mark.parametrize("few", [False, True])
    def test_nearly_black_images(self, tmp_path, caplog, few, monkeypatch):
        if not few:
            monkeypatch.setattr("sact_tf.data.pipeline.trial_reading._FEW_FILES", 1)
        dark = smooth_picture(24, 32)[..., 0].astype(np.uint16) << 4  # 12 bits
        lines = self._lines(tmp_path, caplog, self._objects(3, 7, 90), picture=dark)
        (line,) = [line for line in lines if "grey levels" in line]
        assert line.startswith("2 of 3 training images looked at use at most 16")
        assert "images/1.png (image 1)" in line
