"""COCO's annotation files: what is read, and how nonsense is reported."""

import copy
import os

import numpy as np
import pytest

from sact_tf.detection.data import read_annotations
from sact_tf.errors import UserError
from tests.detection.coco_files import annotation, content, write_json

_SIZES = {11: (30, 40), 12: (50, 20)}
_GOOD = content(
    _SIZES,
    [
        annotation(1, 11, [1.5, 2.5, 10, 20], 90, area=123.5, iscrowd=0),
        annotation(2, 11, [30, 5, 20, 10], 3, iscrowd=1, segmentation={"counts": []}),
        annotation(5, 11, [-3, -2, 8, 9], 7),
    ],
)


def read(tmp_path, value):
    return read_annotations(write_json(tmp_path / "instances.json", value))


def test_what_is_read(tmp_path):
    found = read(tmp_path, _GOOD)
    # Classes follow the ids, which have holes.
    assert found.category_ids == [3, 7, 90] and found.class_names == ["cat", "dog", "owl"]
    assert found.num_without_area == 0
    first, empty = found.images
    assert (first.image_id, first.file_name, first.height, first.width) == (11, "11.png", 30, 40)
    # As annotated, also over the border.
    np.testing.assert_array_equal(
        first.boxes, [[1.5, 2.5, 10, 20], [30, 5, 20, 10], [-3, -2, 8, 9]]
    )
    np.testing.assert_array_equal(first.classes, [2, 0, 1])
    np.testing.assert_array_equal(first.crowd, [False, True, False])
    np.testing.assert_array_equal(first.areas, [123.5, 200, 72])  # width x height where not given
    assert empty.boxes.shape == (0, 4) and empty.classes.dtype == np.int32


def test_classes_do_not_follow_the_order_of_the_categories(tmp_path):
    value = copy.deepcopy(_GOOD)
    value["categories"].reverse()
    assert read(tmp_path, value).class_names == ["cat", "dog", "owl"]


@pytest.mark.parametrize(
    "box",
    [[3, 4, 0, 10], [3, 4, 10, 0], [40, 5, 1, 9], [5, 30, 4, 0.5], [-8, 3, 8, 4], [40.5, 5, 1, 9]],
)
def test_a_box_without_area_is_left_out(tmp_path, box):
    value = copy.deepcopy(_GOOD)
    value["annotations"].append(annotation(6, 11, box))
    found = read(tmp_path, value)
    assert found.num_without_area == 1
    assert len(found.images[0].boxes) == 3


def test_missing_sizes_are_allowed(tmp_path):
    value = copy.deepcopy(_GOOD)
    del value["images"][0]["height"], value["images"][0]["width"]
    assert read(tmp_path, value).images[0].height is None


@pytest.mark.parametrize("number", [1, "x", None, 2.5, 2**70, "none"])
def test_nothing_needs_the_ids_of_annotations(tmp_path, number):
    value = copy.deepcopy(_GOOD)
    value["annotations"][1]["id"] = number
    if number == "none":
        del value["annotations"][1]["id"]
    expected, found = (read(tmp_path, v).images[0] for v in (_GOOD, value))
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_a_crowd_flag_of_null_is_none(tmp_path):
    value = copy.deepcopy(_GOOD)
    value["annotations"][1]["iscrowd"] = None
    assert read(tmp_path, value).images[0].crowd.tolist() == [False] * 3


def test_the_name_of_a_file_need_not_be_utf_8(tmp_path):
    value = copy.deepcopy(_GOOD)
    value["images"][0]["file_name"] = name = os.fsdecode(b"\xff.png")
    assert read(tmp_path, value).images[0].file_name == name


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = write_json(tmp_path / "instances.json", _GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_annotations(path).images) == 2


def test_ids_of_64_bits_stay_apart(tmp_path):
    first, last = 2**53, 2**63 - 1  # As floats, the first one and its neighbour are one number.
    categories = [{"id": number, "name": str(number)} for number in (last, first + 1, first)]
    value = content(
        {last: (30, 40)},
        [annotation(i, last, [1, 2, 3, 4], c["id"]) for i, c in enumerate(categories)],
        categories,
    )
    found = read(tmp_path, value)
    assert found.category_ids == [first, first + 1, last] and found.images[0].image_id == last
    np.testing.assert_array_equal(found.images[0].classes, [2, 1, 0])


def _change(**changes):
    def apply(value):
        value["annotations"][1].update(changes)

    return apply


def _append(key, entry):
    return lambda value: value[key].append(entry)


_WHERE = "annotation 2 of image 11"
_NONSENSE = {
    "negative width": (_change(bbox=[1, 2, -3, 4]), [_WHERE, "at least 0", "[1, 2, -3, 4]"]),
    "three numbers": (_change(bbox=[1, 2, 3]), [_WHERE, "four numbers", "[1, 2, 3]"]),
    "text": (_change(bbox=[1, 2, 3, "4"]), [_WHERE, "four numbers"]),
    "not a number": (_change(bbox=[1, 2, float("nan"), 4]), [_WHERE, "four numbers", "nan"]),
    "no box": (_change(bbox=None), [_WHERE, "four numbers", "None"]),
    "outside": (_change(bbox=[50, 2, 3, 4]), [_WHERE, "outside the image of 40 x 30 pixels"]),
    "above": (_change(bbox=[5, -20, 3, 4]), [_WHERE, "outside"]),
    "category": (_change(category_id=4), [_WHERE, "no category 4", "3, 7, 90"]),
    "crowd": (_change(iscrowd=2), [_WHERE, "iscrowd", "2"]),
    "area": (_change(area=-1), [_WHERE, "area", "-1"]),
    "image": (_change(image_id=99), ["annotation 2 of image 99", "no such image"]),
    "text for a category": (
        _change(category_id="3"),
        [_WHERE, "expected category_id to be an int, received '3'"],
    ),
    "text for an image": (_change(image_id="11"), ["expected image_id to be an int", "'11'"]),
    "box of a number that no float holds": (_change(bbox=[1, 2, 10**400, 4]), ["four numbers"]),
    "id of an image over 64 bits": (
        _append("images", {"id": 2**63, "file_name": "x"}),
        ["every image", "64 bits", str(2**63)],
    ),
    "id of a category over 64 bits": (
        _append("categories", {"id": -(2**70), "name": "x"}),
        ["every category", "64 bits"],
    ),
    "no object": (_append("annotations", 7), ["every annotation to be an object", "7"]),
    "nonsense without an id": (
        _append("annotations", {"image_id": 11, "category_id": 3, "bbox": None}),
        ["annotation at place 3 of the list of image 11", "four numbers"],
    ),
    "name of two lines": (
        _append("categories", {"id": 8, "name": "a\nb"}),
        ["category 8", "one line", r"'a\nb'"],
    ),
    "image twice": (_append("images", {"id": 11, "file_name": "x"}), ["image id 11", "twice"]),
    "image without file": (_append("images", {"id": 13}), ["image 13", "file_name"]),
    "null in a file's name": (
        _append("images", {"id": 13, "file_name": "a\0.png"}),
        ["image 13", "no file can have", r"'a\x00.png'"],
    ),
    "file's name that is no Unicode": (
        _append("images", {"id": 13, "file_name": "\ud800.png"}),
        ["image 13", "no file can have", r"'\ud800.png'"],
    ),
    "flat image": (
        _append("images", {"id": 13, "file_name": "x", "height": 0, "width": 3}),
        ["image 13", "positive ints", "0"],
    ),
    "half a size": (
        _append("images", {"id": 13, "file_name": "x", "width": 3}),
        ["image 13", "height and width", "None"],
    ),
    "category twice": (_append("categories", {"id": 7, "name": "x"}), ["category id 7", "twice"]),
    "nameless": (_append("categories", {"id": 8}), ["category 8", "name"]),
    "no categories": (lambda value: value["categories"].clear(), ["no categories"]),
    "no list": (lambda value: value.pop("annotations"), ["no list annotations"]),
}


@pytest.mark.parametrize("case", _NONSENSE)
def test_nonsense_is_named_with_file_image_and_annotation(tmp_path, case):
    value = copy.deepcopy(_GOOD)
    change, parts = _NONSENSE[case]
    change(value)
    with pytest.raises(UserError) as error:
        read(tmp_path, value)
    for part in ["instances.json", *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize("text", ["", "[1, 2", "[]", "3", '{"images": 3}'])
def test_files_that_are_no_annotations(tmp_path, text):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(UserError, match="instances.json"):
        read_annotations(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="nothing.json: cannot be read"):
        read_annotations(tmp_path / "nothing.json")
