"""Boxes of the objects on held-out images: the file, and where the preprocessing puts them."""

import json
import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from sact_tf.data import ImageFolder
from sact_tf.errors import UserError
from sact_tf.training.reports.localization import box_masks
from tests.data.picture_files import write_classes
from tests.data.streams import take

_SCALE = {"name": "scale", "image_size": [24, 32]}  # As the pictures are.


@pytest.fixture
def photos(tmp_path):
    """Three classes of six pictures of 24 x 32 pixels, and as many held out."""
    write_classes(tmp_path / "train", ("ant", "cat"))
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    return tmp_path


def write_boxes(photos, content):
    path = photos / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def held_out(photos, content, preprocessing=_SCALE, **options):
    """The boxes that evaluation gives, by name of the image."""
    path = write_boxes(photos, content)
    options = options or {"validation_dir": photos / "val"}
    data = ImageFolder(photos / "train", preprocessing=preprocessing, boxes=path, **options)
    return {
        "/".join(path.decode().split("/")[-2:]): box.tolist()
        for batch in take(data.evaluation(5), 9)
        for path, box in zip(batch["path"], batch["box"], strict=True)
    }


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("imagenet", [56, 90]),
        ("imagenet", [30, 20]),
        ("scale", [128, 40]),
        ("unit", None),
        ("cifar", [32, 32]),
        ("cifar", [90, 75]),
    ],
)
def test_the_box_lies_where_the_preprocessing_puts_the_object(tmp_path, name, size):
    """A white rectangle on black, and the box of it, ends inclusive."""
    pixels = np.zeros([67, 80, 3], np.uint8)
    pixels[13:40, 27:61] = 255
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / split / "a" / f"{split}.png")
    path = write_boxes(tmp_path, {"a/val.png": [13, 27, 39, 60]})
    preprocessing = {"name": name} | ({"image_size": size} if size else {})
    data = ImageFolder(
        tmp_path / "train", tmp_path / "val", preprocessing=preprocessing, boxes=path
    )
    (batch,) = take(data.evaluation(1), 2)
    image = batch["image"][0, :, :, 0]
    middle = (image.max() + image.min()) / 2
    inside = box_masks(batch["box"], *image.shape)[0]
    row, column = (int(places.mean()) for places in inside.nonzero())
    # Along two lines: at corners, too, half-way would be a quarter.
    for line, expected in ((image[row], inside[row]), (image[:, column], inside[:, column])):
        clear = abs(line - middle) > 0.02 * (image.max() - image.min())
        assert ((line > middle) == expected)[clear].all()
        assert clear.mean() > 0.9 and 0 < expected.sum() < len(line)


def test_training_batches_have_no_boxes(photos):
    path = write_boxes(photos, {"ant/0.png": [0, 0, 5, 5]})
    data = ImageFolder(photos / "train", photos / "val", preprocessing=_SCALE, boxes=path)
    assert take(data.train(3, seed=0), 1)[0].keys() == {"image", "label"}


def test_images_without_a_box_are_counted(photos, caplog):
    with caplog.at_level(logging.WARNING):
        boxes = held_out(photos, {"cat/1.png": [2, 3, 8, 31], "ant/5.png": [0, 0, 23, 0.5]})
    assert boxes.pop("cat/1.png") == [2, 3, 9, 32] and boxes.pop("ant/5.png") == [0, 0, 24, 1.5]
    assert len(boxes) == 10 and all(np.isnan(box).all() for box in boxes.values())
    assert "10 of 12 held-out images have no box; localization is judged on the other 2" in (
        caplog.text
    )


def test_parts_of_the_file(photos):
    ours, theirs = {"cat/1.png": [1, 1, 2, 2]}, {"cat/1.png": [3, 3, 4, 4]}
    for name in ("val", "validation"):
        assert held_out(photos, {"train": theirs, name: ours})["cat/1.png"] == [1, 1, 3, 3]
    everything = {f"{kind}/{i}.png": [1, 1, 2, 2] for kind in ("ant", "cat") for i in range(6)}
    for content in ({"train": everything, "val": ours}, everything):
        boxes = held_out(photos, content, validation_fraction=0.5)
        assert 0 < len(boxes) < 12 and all(box == [1, 1, 3, 3] for box in boxes.values())
    with pytest.raises(
        UserError, match="boxes.json: .* under val or validation, found 'train', 'x'"
    ):
        held_out(photos, {"train": ours, "x": ours})


def test_a_box_is_meant_on_the_picture_as_it_is_seen(photos):
    turned = Image.Exif()
    turned[0x0112] = 6  # A quarter to the right: 24 rows of 32 columns are seen as 32 of 24.
    picture = Image.open(photos / "val" / "cat" / "1.png")
    picture.convert("RGB").save(photos / "val" / "cat" / "turned.jpg", exif=turned)
    content = {"cat/turned.jpg": [0, 0, 31, 23]}
    size = {"name": "scale", "image_size": [64, 48]}
    assert held_out(photos, content, size)["cat/turned.jpg"] == [0, 0, 64, 48]
    with pytest.raises(UserError, match="turned.jpg.*outside the image of 32 rows and 24 columns"):
        held_out(photos, {"cat/turned.jpg": [0, 0, 23, 31]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "boxes.json: not a JSON file"),
        ("[]", r"expected an object of boxes by image, .*received \[\]"),
        ({"cat/1.png": [0, 0, 1]}, r"cat/1.png: expected \[top, .*received \[0, 0, 1\]"),
        ({"cat/1.png": [0, 0, 1, True]}, "cat/1.png: expected .*received .*true"),
        ({"cat/1.png": [0, 9, 1, 8]}, "bottom and right not before top and left, received"),
        ({"cat/1.png": [-1, 0, 1, 1]}, "at least 0.*received"),
        ('{"cat/1.png": [0, 0, 1, NaN]}', "cat/1.png: expected .*received .*NaN"),
        ({"val": {"cat/1.png": 7}}, "cat/1.png: expected .*received 7"),
        ({"val": [], "train": {}}, r"val: expected|names fit no image"),
        (
            {"cat/1.png": [0, 0, 1, 1], "cat/x.png": [0, 0, 1, 1], "1.png": [0, 0, 1, 1]},
            "2 of 3 names fit no image below .*val: 'cat/x.png', '1.png'; .*such as 'ant/0.png'",
        ),
        ({"val": {}}, "none of the 12 held-out images has a box"),
        (
            {"cat/1.png": [0, 0, 24, 31], "cat/2.png": [0, 0, 1, 32], "cat/3.png": [0, 0, 23, 31]},
            "cat/[12].png: the box .*outside the image of 24 rows and 32 columns; 2 of 3 boxes do",
        ),
    ],
)
def test_mistakes_are_named(photos, content, message):
    with pytest.raises(UserError, match=message):
        held_out(photos, content)


def test_a_missing_file_is_named(photos):
    with pytest.raises(UserError, match="none.json: cannot be read"):
        ImageFolder(photos / "train", photos / "val", boxes=photos / "none.json")


def test_a_damaged_image_is_left_to_those_who_read_it(photos):
    (photos / "val" / "cat" / "1.png").write_bytes(b"x")
    content = {"cat/1.png": [0, 0, 999, 999], "cat/2.png": [0, 0, 9, 9]}
    with pytest.raises(UserError, match="cat/1.png: not a readable image"):
        held_out(photos, content)
    boxes = held_out(photos, content, validation_dir=photos / "val", skip_corrupt=True)
    assert len(boxes) == 11 and boxes["cat/2.png"] == [0, 0, 10, 10]
