"""The embedded data set in COCO's format."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from sact_tf.detection.data import DigitScenes
from sact_tf.detection.data.scene_drawing import SceneOptions, SourceDigits, draw_scene
from sact_tf.errors import UserError
from tests.data.streams import assert_resumes


def test_files_are_a_coco_data_set(tmp_path):
    data = DigitScenes(tmp_path, num_train=12, num_validation=5)
    assert (data.num_examples("train"), data.num_examples("validation")) == (12, 5)
    assert data.class_names == [str(digit) for digit in range(10)]
    for split in ("train", "validation"):
        content = json.loads((data.directory / f"{split}.json").read_text())
        counts = np.bincount([entry["image_id"] for entry in content["annotations"]])[1:]
        assert ((2 <= counts) & (counts <= 6)).all()
        for image in content["images"]:
            with Image.open(data.directory / split / image["file_name"]) as picture:
                assert picture.size == (160, 160)
    assert_resumes(data, batch_size=5, steps=4, start_steps=[1, 3])


def test_held_out_digits_are_never_trained_on(tmp_path):
    data = DigitScenes(tmp_path, num_train=40, num_validation=40)
    labels = load_digits().target
    used = {}
    for split in ("train", "validation"):
        content = json.loads((data.directory / f"{split}.json").read_text())
        digits = [entry["source_digit"] for entry in content["annotations"]]
        assert [labels[d] + 1 for d in digits] == [e["category_id"] for e in content["annotations"]]
        used[split] = set(digits)
    assert max(used["train"]) < 1297 <= min(used["validation"])


def test_scenes_keep_to_their_options():
    options, source = SceneOptions(), SourceDigits(1297, 1797)
    sizes = []
    for number in range(40):
        scene = draw_scene(source, options, [3, number])
        assert len(scene.distractors) == 12
        assert min(scene.distractors + scene.digits) >= 1297
        assert not set(scene.distractors) & set(scene.digits)
        for index, box in enumerate(scene.boxes):
            assert (box >= 0).all() and (box <= 160).all()
            sizes.append((box[2:] - box[:2]).max())
            top, left, bottom, right = box
            # The box ends where the ink does.
            window = scene.image[top:bottom, left:right] >= 64
            assert window[0].any() and window[-1].any()
            assert window[:, 0].any() and window[:, -1].any()
            for other in scene.boxes[index + 1 :]:
                overlap = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
                assert (overlap <= 0).any()
    assert 9 <= min(sizes) <= 18 and 50 <= max(sizes) <= 64


def test_crowded_scenes_do_not_hang():
    crowded = SceneOptions(image_size=64, min_digits=6, min_size=40, max_size=64)
    scene = draw_scene(SourceDigits(0, 50), crowded, [0])
    assert 1 <= len(scene.boxes) <= 6


def test_the_same_arguments_find_the_same_files_and_others_make_new_ones(tmp_path):
    first = DigitScenes(tmp_path, num_train=4, num_validation=2)
    stamp = (first.directory / "train.json").stat().st_mtime_ns
    assert DigitScenes(tmp_path, num_train=4, num_validation=2).directory == first.directory
    assert (first.directory / "train.json").stat().st_mtime_ns == stamp
    other = DigitScenes(tmp_path, num_train=4, num_validation=2, seed=1)
    assert other.directory != first.directory
    same, changed = (
        (data.directory / "train" / "000000.png").read_bytes() for data in (first, other)
    )
    assert same != changed
    again = DigitScenes(tmp_path / "again", num_train=4, num_validation=2)
    assert (again.directory / "train" / "000000.png").read_bytes() == same
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"num_train": 0}, "num_train"),
        ({"min_size": 70}, "min_size to be at most max_size=64"),
        ({"image_size": 50}, "max_size to be at most image_size=50"),
        ({"min_digits": 7}, "min_digits to be at most max_digits=6"),
        ({"min_size": 4}, "min_size to be an int of at least 8"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_options(tmp_path, wrong, message):
    with pytest.raises(UserError, match=message):
        DigitScenes(tmp_path, **wrong)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        DigitScenes(tmp_path / "file", num_train=1, num_validation=1)
