"""Folders of images: classes, hold-out, corrupt files, streams that resume."""

import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.data import ImageFolder
from sact_tf.errors import UserError, user_error_in
from tests.data.picture_files import truncate, write_classes, write_picture
from tests.data.streams import assert_resumes, assert_same, take

_CLASSES = ("zebra", "ant", "cat 1")
_SCALE = {"name": "scale", "image_size": [10, 12]}


@pytest.fixture
def folder(tmp_path):
    return write_classes(tmp_path / "train", _CLASSES)


def twice(folder, **options):
    """The images of a folder to train on, and copies of all of them held out."""
    copy = folder.with_name(f"copy of {folder.name}")
    return ImageFolder(folder, shutil.copytree(folder, copy, dirs_exist_ok=True), **options)


def _paths(data):
    return [path.decode() for batch in take(data.evaluation(4), 99) for path in batch["path"]]


def test_labels_are_sorted_names(folder):
    data = twice(folder, preprocessing=_SCALE)
    assert data.class_names == ["ant", "cat 1", "zebra"] and data.num_classes == 3
    batches = take(data.evaluation(7), 99)
    assert [len(batch["label"]) for batch in batches] == [7, 7, 4]
    assert batches[0]["image"].shape == (7, 10, 12, 3)
    for batch in batches:
        for path, label in zip(batch["path"], batch["label"], strict=True):
            assert path.decode().split("/")[-2] == data.class_names[label]


def test_what_is_no_image_is_not_looked_at(folder):
    (folder / ".git").mkdir()
    (folder / "readme.txt").write_text("x")
    (folder / "ant" / "notes.txt").write_text("x")
    (folder / "ant" / "._0.png").write_text("x")
    write_picture(folder / "ant" / "deeper" / "one.JPG")
    data = twice(folder, preprocessing=_SCALE)
    assert data.num_examples("train") == 19


def test_training_batches(folder):
    data = twice(folder, preprocessing={"name": "imagenet", "image_size": 16})
    (batch,) = take(data.train(18, seed=0), 1)
    assert batch["image"].shape == (18, 16, 16, 3) and batch["image"].dtype == np.float32
    assert batch["label"].dtype == np.int32
    assert np.bincount(batch["label"]).tolist() == [6, 6, 6]
    assert -1 <= batch["image"].min() < batch["image"].max() <= 1


def test_stream_resumes_across_epochs(folder):
    data = twice(folder, preprocessing={"name": "imagenet", "image_size": 16})
    whole = assert_resumes(data, batch_size=4, steps=12, start_steps=(3, 4, 5, 11))
    # Batches 0-8 are two epochs of 18.
    labels = np.concatenate([batch["label"] for batch in whole])
    assert np.bincount(labels[:18]).tolist() == np.bincount(labels[18:36]).tolist() == [6, 6, 6]
    assert (labels[:18] != labels[18:36]).any()


def test_augmentation_differs_between_examples_and_epochs(tmp_path):
    for name in ("a", "b"):
        for index in range(3):
            write_picture(tmp_path / name / f"{index}.png", seed=0)  # All the same picture.
    data = twice(tmp_path, preprocessing={"name": "imagenet", "image_size": 16})
    batches = take(data.train(6, seed=0), 3)
    assert len({image.tobytes() for batch in batches for image in batch["image"]}) == 18


def test_training_is_the_same_with_op_determinism(folder):
    data = twice(folder, preprocessing={"name": "imagenet", "image_size": 16})
    before = take(data.train(4, seed=0), 6)
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    try:
        assert_same(take(data.train(4, seed=0), 6), before)
    finally:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


def _held_out(folder, fraction, **options):
    data = ImageFolder(folder, validation_fraction=fraction, preprocessing=_SCALE, **options)
    return {"/".join(path.split("/")[-2:]) for path in _paths(data)}, data


def test_held_out_fraction_is_fixed(folder, tmp_path):
    held_out, data = _held_out(folder, 0.34)
    assert 0 < len(held_out) == data.num_examples("validation") < 12
    assert data.num_examples("train") == 18 - len(held_out)
    # The same images at another place, and more of them with a larger fraction.
    assert _held_out(shutil.copytree(folder, tmp_path / "copy"), 0.34)[0] == held_out
    assert _held_out(folder, 0.8)[0] > held_out
    trained_on = {
        image.tobytes()
        for batch in take(data.train(18 - len(held_out), seed=0), 1)
        for image in tf.reduce_mean(batch["image"], axis=2).numpy()[:, :1].round(4)
    }
    assert len(trained_on) == 18 - len(held_out)


def test_an_image_stays_where_it_is_when_others_come_and_go(folder):
    held_out, _ = _held_out(folder, 0.34)
    for number in range(30):
        write_picture(folder / "ant" / f"new {number}.png", seed=1000 + number)
        assert {name for name in _held_out(folder, 0.34)[0] if "new" not in name} == held_out
    gone = sorted(held_out)[0]
    (folder / gone).unlink()
    assert {name for name in _held_out(folder, 0.34)[0] if "new" not in name} == held_out - {gone}


def test_a_tenth_is_held_out_by_default(tmp_path):
    folder = tmp_path / "many"
    for number in range(1000):
        path = folder / ("a", "b")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    data = ImageFolder(folder, preprocessing=_SCALE, check_files=False)
    assert 70 <= data.num_examples("validation") <= 130
    assert data.num_examples("train") + data.num_examples("validation") == 1000


def test_a_class_of_one_image_is_not_held_out(folder):
    write_picture(folder / "one" / "x.png")
    data = ImageFolder(folder, validation_fraction=0.999, preprocessing=_SCALE)
    assert not any("/one/" in path for path in _paths(data))
    assert data.num_examples("train") == 4 and data.num_examples("validation") == 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: shutil.rmtree(f), "train: no such folder"),
        (
            lambda f: [shutil.rmtree(f / c) for c in _CLASSES],
            "train: the folder has no sub-folders",
        ),
        (
            lambda f: [p.unlink() for p in (f / "ant").iterdir()],
            "train/ant: the class has no image",
        ),
        (
            lambda f: truncate(write_picture(f / "ant" / "z.jpg", 99, 99)),
            "ant/z.jpg: not a readable",
        ),
        (lambda f: (f / "ant" / "z.jpg").symlink_to(f / "gone"), "ant/z.jpg: cannot be read"),
    ],
)
def test_unusable_folders(folder, change, message):
    change(folder)
    with pytest.raises(UserError, match=message):
        ImageFolder(folder, validation_fraction=0.2, preprocessing=_SCALE)


def test_a_file_for_a_folder(folder):
    with pytest.raises(UserError, match="0.png: not a folder"):
        ImageFolder(folder / "ant" / "0.png")


def test_unknown_class_in_the_validation_folder(folder, tmp_path):
    held_out = write_classes(tmp_path / "held out", ("ant", "elephant"))
    with pytest.raises(UserError, match="held out/elephant: .*no class of that name.*zebra"):
        ImageFolder(folder, held_out)


def test_missing_class_in_the_validation_folder(folder, tmp_path):
    held_out = write_classes(tmp_path / "held out", ("zebra",), count=2)
    (batch,) = take(ImageFolder(folder, held_out, preprocessing=_SCALE).evaluation(9), 9)
    assert batch["label"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_fraction": 1.5}, "validation_fraction .* received 1.5"),
        ({"validation_fraction": 1e-9}, "holds out none of the 18 images"),
        ({"validation_fraction": 0.1, "validation_dir": "x"}, "received both"),
        ({"preprocessing": {"name": "vgg"}}, "imagenet.*received.*vgg"),
    ],
)
def test_impossible_arguments(folder, options, message):
    with pytest.raises(UserError, match=message):
        ImageFolder(folder, **options)


class TestCorruptFiles:
    @pytest.fixture
    def bad(self, folder):
        truncate(write_picture(folder / "cat 1" / "bad.jpg", 60, 60))
        (folder / "ant" / "bad.png").write_bytes(b"no picture")
        return folder

    def test_all_are_counted_at_construction(self, bad):
        with pytest.raises(UserError, match="ant/bad.png.*4 of 40 images.*skip_corrupt") as caught:
            twice(bad, preprocessing=_SCALE)
        assert "\n" not in str(caught.value)

    def test_skipped_at_construction(self, bad, caplog):
        with caplog.at_level(logging.WARNING):
            data = twice(bad, preprocessing=_SCALE, skip_corrupt=True)
        assert "4 of 40 images cannot be read and are skipped" in caplog.text
        assert "cat 1/bad.jpg" in caplog.text
        assert data.num_examples("train") == data.num_examples("validation") == 18
        assert sorted(data.corrupt_images) == [
            str(folder / name)
            for folder in (bad.with_name("copy of train"), bad)
            for name in ("ant/bad.png", "cat 1/bad.jpg")
        ]
        assert len(_paths(data)) == 18

    def test_a_class_without_any_readable_image(self, bad):
        for path in (bad / "ant").iterdir():
            path.write_bytes(b"x")
        with pytest.raises(UserError, match="Class 'ant' has no readable training image"):
            twice(bad, preprocessing=_SCALE, skip_corrupt=True)

    def test_met_while_training(self, bad):
        data = twice(bad, preprocessing=_SCALE, check_files=False)
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            take(data.train(5, seed=0), 8)
        error = user_error_in(caught.value)
        assert isinstance(error, UserError)
        assert str(error).startswith(str(bad)) and "bad." in str(error)
        assert "Traceback" not in str(caught.value)

    def test_met_in_a_training_function(self, bad):
        data = twice(bad, preprocessing=_SCALE, check_files=False)

        @tf.function
        def train(iterator):
            total = 0.0
            for _ in tf.range(8):
                total += tf.reduce_sum(next(iterator)["image"])
            return total

        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            train(iter(data.train(5, seed=0)))
        assert "not a readable image" in str(user_error_in(caught.value))

    def test_met_while_evaluating(self, bad):
        data = twice(bad, preprocessing=_SCALE, check_files=False)
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            take(data.evaluation(5), 8)
        assert str(user_error_in(caught.value)).startswith(
            str(bad.with_name("copy of train") / "ant" / "bad.png")
        )

    def test_skipped_while_training(self, bad, caplog):
        data = twice(bad, preprocessing=_SCALE, skip_corrupt=True, check_files=False)
        with caplog.at_level(logging.WARNING):
            whole = assert_resumes(data, batch_size=4, steps=15, start_steps=(2, 5, 9))
        assert len(data.corrupt_images) == 2
        assert caplog.text.count("skip_corrupt") == 2 and "2 corrupt image(s)" in caplog.text
        # 60 places, three epochs: none is a black dummy, and every one has its own label.
        images = np.concatenate([batch["image"] for batch in whole])
        assert (images.max(axis=(1, 2, 3)) > 0).all()

    def test_skipped_while_evaluating(self, bad):
        data = twice(bad, preprocessing=_SCALE, skip_corrupt=True, check_files=False)
        paths = _paths(data)
        assert len(paths) == 18 and not any("bad" in path for path in paths)
        assert len(data.corrupt_images) == 2

    def test_nothing_readable_ends(self, folder):
        for path in folder.rglob("*.png"):
            path.write_bytes(b"x")
        data = twice(folder, skip_corrupt=True, check_files=False)
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            take(data.train(1, seed=0), 1)
        assert "images drawn one after the other cannot be read" in str(user_error_in(caught.value))


def test_the_home_directory_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    shutil.copytree(folder, folder.with_name("held out"))
    data = ImageFolder(f"~/{folder.name}", "~/held out")
    assert data.num_examples("train") == data.num_examples("validation") > 0
