"""Images and boxes as a detector gets them, from real files."""

import json
import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sact_tf.data.pipeline import trial_reading
from sact_tf.detection.data import CocoFolder, DetectionData
from sact_tf.detection.evaluation import evaluate_detections
from sact_tf.errors import UserError, user_error_in
from tests.data.picture_files import smooth_picture, truncate
from tests.data.streams import assert_resumes, take
from tests.detection.coco_files import annotation, write_json, write_many, write_set

_OWN_SIZE = {"name": "unit", "short_side": None, "long_side": None}


def folder_data(annotations, images, validation=None, preprocessing=None, **options):
    """A data set whose held-out images are copies of the training images unless they are given."""
    if validation is None:
        held_out = annotations.parent / "held out"
        held_out.mkdir(exist_ok=True)
        if images.exists():
            shutil.copytree(images, held_out / "images", dirs_exist_ok=True)
        validation = shutil.copy(annotations, held_out), held_out / "images"
    return CocoFolder(
        annotations, images, *validation, preprocessing=preprocessing or _OWN_SIZE, **options
    )


def one(dataset):
    (batch,) = take(dataset, 1)
    return batch


def test_images_of_different_sizes_are_padded_and_boxes_scaled(tmp_path):
    sizes = {1: (30, 60), 2: (40, 20), 3: (10, 10)}
    objects = [
        annotation(1, 1, [30, 6, 12, 9], 7),
        annotation(2, 1, [50, 20, 20, 20], 90, iscrowd=1),  # Reaches over the border.
        annotation(3, 2, [0, 0, 20, 40], 3),
    ]
    data = folder_data(
        *write_set(tmp_path, sizes, objects),
        preprocessing={"name": "scale", "short_side": 20, "long_side": 30},
    )
    batch = one(data.evaluation(3))
    # The first one is limited by its long side, the third one is enlarged.
    np.testing.assert_array_equal(batch["original_size"], [[30, 60], [40, 20], [10, 10]])
    expected = [(15, 30), (30, 15), (20, 20)]
    assert batch["image"].shape == (3, 30, 30, 3) and batch["image"].dtype == np.float32
    for image, valid, scale, size, original in zip(
        batch["image"], batch["valid"], batch["scale"], expected, sizes.values(), strict=True
    ):
        wanted = np.zeros([30, 30], bool)
        wanted[: size[0], : size[1]] = True
        np.testing.assert_array_equal(valid, wanted)
        np.testing.assert_allclose(scale, np.array(size) / original)
        assert not image[~valid].any()
        assert np.abs(image[valid]).max() <= 1 and image[valid].min() < 0  # "scale" is [-1, 1].
    np.testing.assert_allclose(batch["boxes"][0], [[3, 15, 7.5, 21], [10, 25, 15, 30]])
    np.testing.assert_allclose(batch["boxes"][1], [[0, 0, 30, 15], [0, 0, 0, 0]])
    np.testing.assert_array_equal(batch["classes"], [[1, 2], [0, -1], [-1, -1]])
    np.testing.assert_array_equal(batch["crowd"], [[False, True], [False] * 2, [False] * 2])
    np.testing.assert_array_equal(batch["image_id"], [1, 2, 3])


def test_an_image_of_the_right_size_keeps_its_values(tmp_path):
    data = folder_data(
        *write_set(tmp_path, {1: (24, 32)}, []),
        preprocessing={"name": "unit", "short_side": 24, "long_side": 32},
    )
    expected = smooth_picture(24, 32, seed=1) / np.float32(255)
    np.testing.assert_allclose(one(data.evaluation(1))["image"][0], expected, atol=1e-6)


def test_flip_mirrors_image_and_boxes_about_half_of_the_time(tmp_path):
    data = folder_data(*write_set(tmp_path, {1: (24, 32)}, [annotation(1, 1, [2, 3, 10, 5])]))
    still = one(data.evaluation(1))
    mirrored = 0
    for batch in take(data.train(1, seed=4), 40):
        if batch["boxes"][0, 0, 1] == 2:
            np.testing.assert_array_equal(batch["image"], still["image"])
            np.testing.assert_array_equal(batch["boxes"], still["boxes"])
        else:
            mirrored += 1
            np.testing.assert_array_equal(batch["image"], still["image"][:, :, ::-1])
            np.testing.assert_array_equal(batch["boxes"][0, 0], [3, 20, 8, 30])
    assert 10 <= mirrored <= 30
    fixed = folder_data(tmp_path / "annotations.json", tmp_path / "images", flip=False)
    assert all((b["boxes"][0, 0, 1] == 2).all() for b in take(fixed.train(1, seed=4), 20))


def test_training_is_an_endless_stream_that_starts_anywhere(tmp_path):
    data = folder_data(*write_many(tmp_path))
    batches = assert_resumes(data, batch_size=3, steps=8, start_steps=[1, 5])
    first_epochs = np.concatenate([batch["image_id"] for batch in batches[:7]])
    for epoch in first_epochs.reshape(3, 7):
        assert sorted(epoch) == [1, 2, 3, 4, 5, 6, 7]


def test_evaluation_gives_each_image_once_in_order(tmp_path):
    data = folder_data(*write_many(tmp_path))
    batches = take(data.evaluation(3), 9)
    assert [len(batch["image"]) for batch in batches] == [3, 3, 1]
    assert np.concatenate([b["image_id"] for b in batches]).tolist() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_pictures_of_all_kinds_become_rgb(tmp_path, mode):
    paths = write_set(tmp_path, {1: (24, 32)}, [])
    if mode == "I;16":
        picture = Image.fromarray(np.full([24, 32], 40000, np.uint16))
    else:
        picture = Image.fromarray(smooth_picture(24, 32)).convert(mode)
    picture.save(paths[1] / "1.png")
    assert one(folder_data(*paths).evaluation(1))["image"].shape == (1, 24, 32, 3)


@pytest.mark.parametrize("annotated_for", ["as stored", "as shown"])
def test_a_turned_photograph_follows_its_annotations(tmp_path, annotated_for):
    size = (24, 32) if annotated_for == "as stored" else (32, 24)
    paths = write_set(tmp_path, {1: size}, [])
    stored = Image.fromarray(smooth_picture(24, 32))
    turned = Image.Exif()
    turned[0x0112] = 6
    stored.save(paths[1] / "1.png", exif=turned)
    image = one(folder_data(*paths).evaluation(1))["image"][0]
    expected = smooth_picture(24, 32) / np.float32(255)
    if annotated_for == "as shown":
        expected = np.rot90(expected, -1)
    np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(24, 32), (24, 24), (None, None)])
@pytest.mark.parametrize("orientation", ["shown", "stored"])
def test_boxes_of_a_turned_picture_whose_size_does_not_tell(tmp_path, size, orientation, caplog):
    height, width = (24, 32) if size[0] is None else size
    paths = write_set(tmp_path, {1: (height, width), 2: (height, width)}, [])
    if size[0] is None:
        value = json.loads(paths[0].read_text())
        for image in value["images"]:
            del image["height"], image["width"]
        write_json(paths[0], value)
    tag = 6 if height == width else 3
    turned = Image.Exif()
    turned[0x0112] = tag
    for number in (1, 2):
        picture = Image.fromarray(smooth_picture(height, width))
        picture.save(paths[1] / f"{number}.png", exif=turned)
    data = folder_data(*paths, **({} if orientation == "shown" else {"orientation": "stored"}))
    image = take(data.evaluation(1), 2)[0]["image"][0]
    expected = smooth_picture(height, width) / np.float32(255)
    if orientation == "shown":
        expected = np.rot90(expected, -1 if tag == 6 else 2)
    np.testing.assert_allclose(image, expected, atol=1e-6)
    (record,) = [record for record in caplog.records if "EXIF" in record.getMessage()]
    assert f"taken as {orientation} (data.coco.orientation)" in record.getMessage()
    assert "1.png (image 1): " in record.getMessage()
    assert "(4 images are like that)" in record.getMessage()


def test_an_orientation_there_is_not(tmp_path):
    with pytest.raises(UserError, match="orientation to be one of .*'upright'"):
        folder_data(*write_many(tmp_path), orientation="upright")


def _broken(tmp_path, how):
    paths = write_many(tmp_path)
    file = paths[1] / "5.png"
    if how == "missing":
        file.unlink()
    elif how == "cut off":
        truncate(file)
    else:
        Image.fromarray(smooth_picture(9, 9)).save(file)
    return paths


@pytest.mark.parametrize("how", ["missing", "cut off", "of another size"])
def test_an_unusable_image_is_named_with_its_id(tmp_path, how):
    paths = _broken(tmp_path, how)
    with pytest.raises((UserError, tf.errors.OpError)) as error:
        take(folder_data(*paths).evaluation(3), 9)
    message = str(user_error_in(error.value))
    assert "5.png (image 5)" in message
    if how == "of another size":
        assert "has 9 x 9 pixels" in message and "annotations say" in message


@pytest.mark.parametrize("how", ["missing", "cut off", "of another size"])
def test_unusable_images_are_skipped_on_demand(tmp_path, how):
    data = folder_data(*_broken(tmp_path, how), skip_corrupt=True)
    seen = np.concatenate([batch["image_id"] for batch in take(data.evaluation(3), 9)])
    assert seen.tolist() == [1, 2, 3, 4, 6, 7]
    trained = np.concatenate([batch["image_id"] for batch in take(data.train(3, seed=0), 10)])
    assert set(trained) == {1, 2, 3, 4, 6, 7} and len(trained) == 30
    assert [path.endswith("5.png (image 5)") for path in data.corrupt_images] == [True] * 2


@pytest.mark.parametrize("how", ["missing", "cut off", "of another size"])
def test_an_unusable_held_out_image_is_known_before_anything_is_trained(tmp_path, how):
    held_out = _broken(tmp_path / "held out", how)
    with pytest.raises(UserError, match=r"5\.png \(image 5\).*skip_corrupt=true"):
        folder_data(*write_many(tmp_path / "train"), held_out)
    data = folder_data(*write_many(tmp_path / "train"), held_out, skip_corrupt=True)
    assert data.num_examples("train") == 7 and data.num_examples("validation") == 6


def test_large_training_sets_are_not_read_twice_held_out_images_are(tmp_path, monkeypatch):
    monkeypatch.setattr(trial_reading, "_FEW_FILES", 6)
    good, broken = write_many(tmp_path / "good"), _broken(tmp_path / "broken", "cut off")
    assert folder_data(*broken, good).num_examples("train") == 7
    with pytest.raises(UserError, match="image 5"):
        folder_data(*good, broken)


@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_a_folder_without_any_of_the_images_is_the_wrong_one(tmp_path, caplog, skip_corrupt):
    annotations, _ = write_many(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="other: none of the 7 images of .*json is there.* 1.png"):
        folder_data(annotations, tmp_path / "other", skip_corrupt=skip_corrupt)
    assert not caplog.records


def test_skipped_images_are_one_warning(tmp_path, caplog):
    paths = write_many(tmp_path)
    for number in (2, 5, 6):
        (paths[1] / f"{number}.png").unlink()
    folder_data(*paths, write_many(tmp_path / "held out", seed=1), skip_corrupt=True)
    said = [m for m in map(logging.LogRecord.getMessage, caplog.records) if "skip" in m]
    assert [message.partition(":")[2][:14] for message in said] == [" 3 of 7 images"]


def test_sizes_that_are_not_annotated_come_from_the_file(tmp_path):
    annotations, images = write_set(
        tmp_path, {1: (24, 32)}, [annotation(1, 1, [30, 2, 9, 9]), annotation(2, 1, [32, 2, 1, 9])]
    )
    value = json.loads(annotations.read_text())
    del value["images"][0]["height"], value["images"][0]["width"]
    write_json(annotations, value)
    batch = one(folder_data(annotations, images).evaluation(1))
    np.testing.assert_array_equal(batch["boxes"], [[[2, 30, 11, 32]]])
    value["annotations"][0]["bbox"] = [40, 2, 9, 9]
    write_json(annotations, value)
    with pytest.raises(UserError, match=r"image 1\).*outside"):
        folder_data(annotations, images)


def test_ground_truth_as_predictions_is_perfect_through_the_files(tmp_path):
    data = folder_data(*write_many(tmp_path / "set", count=12))
    truth = data.ground_truth()
    results = [
        {k: entry[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for entry in truth["annotations"]
    ]
    path = write_json(tmp_path / "predictions.json", results)
    for reference in (truth, tmp_path / "set" / "annotations.json"):
        if reference is not truth:  # The file as annotated has neither areas nor crowd flags.
            value = json.loads(reference.read_text())
            for entry in value["annotations"]:
                entry |= {"area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
            write_json(reference, value)
        scores = evaluate_detections(reference, path)
        assert scores["mAP"] == scores["AP50"] == scores["AP75"] == pytest.approx(1.0)


def test_both_splits_need_the_same_categories(tmp_path):
    train = write_set(tmp_path / "a", {1: (24, 32)}, [])
    other = [{"id": 3, "name": "cat"}, {"id": 7, "name": "wolf"}]
    validation = write_set(tmp_path / "b", {1: (24, 32)}, [], other)
    with pytest.raises(UserError, match="category 7 is 'wolf' there and 'dog' in"):
        folder_data(*train, validation)


def test_a_missing_folder_is_named(tmp_path):
    annotations, _ = write_set(tmp_path, {1: (24, 32)}, [])
    with pytest.raises(UserError, match="nowhere: no such folder"):
        folder_data(annotations, tmp_path / "nowhere")


def test_no_data_set_takes_a_class_name_of_two_lines():
    kind = type("Named", (DetectionData,), dict.fromkeys(DetectionData.__abstractmethods__))
    assert kind(["a", "b c"], [1, 2], _OWN_SIZE, True, False).class_names == ["a", "b c"]
    with pytest.raises(UserError, match=r"class names of one line each, received 'b\\nc'"):
        kind(["a", "b\nc"], [1, 2], _OWN_SIZE, True, False)


class TestNamesOfFiles:
    """Names of other systems, and what stands where the named file does not."""

    def _named(self, tmp_path, name):
        """A set of two images, the first under another name in the annotations."""
        annotations, images = write_set(tmp_path, {1: (24, 32), 2: (24, 32)}, [])
        value = json.loads(annotations.read_text())
        value["images"][0]["file_name"] = name
        return write_json(annotations, value), images

    def test_backslashes_are_read_as_slashes_where_only_that_is_there(self, tmp_path):
        annotations, images = self._named(tmp_path, "sub\\1.png")
        (images / "sub").mkdir()
        (images / "1.png").rename(images / "sub" / "1.png")
        data = folder_data(annotations, images)
        assert data.ground_truth()["images"][0]["file_name"] == "sub/1.png"
        truncate(images / "sub" / "1.png")
        shutil.copy(images / "2.png", images / "sub\\1.png")
        data = folder_data(annotations, images)  # Its own name comes first.
        assert data.num_examples("train") == 2

    @pytest.mark.parametrize(
        "name, there",
        [
            ("sub\\1.png", "1.png"),
            ("C:\\data\\1.png", "1.png"),
            ("images/1.png", "1.png"),
            ("1.PNG", "1.png"),
        ],
    )
    @pytest.mark.parametrize("others", [True, False])
    def test_what_is_there_instead_is_said(self, tmp_path, name, there, others):
        annotations, images = self._named(tmp_path, name)
        if not others:
            (images / "2.png").unlink()
        expected = (
            "image 1.: cannot be read" if others else "none of the 2 images.* is there, such as"
        )
        with pytest.raises(UserError, match=f"{expected}.*; there is .*/images/{there}"):
            folder_data(annotations, images)

    @pytest.mark.parametrize("name", ["/", "..", "sub/", "a\\" * 300])
    def test_names_of_no_file_are_missing_files(self, tmp_path, name):
        annotations, images = self._named(tmp_path, name)
        (images / "2.png").unlink()
        with pytest.raises(UserError, match="none of the 2 images.* is there, such as"):
            folder_data(annotations, images)

    def test_in_sets_that_are_not_read_too(self, tmp_path, monkeypatch):
        monkeypatch.setattr(trial_reading, "_FEW_FILES", 1)
        annotations, images = self._named(tmp_path / "train", "old/1.png")
        with pytest.raises(UserError, match=r"file is missing; there is .*/images/1\.png"):
            folder_data(annotations, images, write_many(tmp_path / "held out"))


class TestSplitsThatOverlap:
    def test_the_same_annotations_are_refused(self, tmp_path):
        paths = write_many(tmp_path / "a")
        (tmp_path / "link.json").symlink_to(paths[0])
        for held_out in (paths[0], tmp_path / "link.json"):
            with pytest.raises(UserError, match="validation_annotations=.* is the file of train"):
                folder_data(*paths, (held_out, paths[1]))

    def test_the_same_files_are_refused_with_their_number(self, tmp_path):
        annotations, images = write_many(tmp_path / "a")
        value = json.loads(annotations.read_text())
        value["images"] = [image for image in value["images"] if image["id"] > 4]
        value["annotations"] = [a for a in value["annotations"] if a["image_id"] > 4]
        held_out = write_json(tmp_path / "held_out.json", value)
        with pytest.raises(UserError, match="3 of 3 held-out images are trained on.*5.png"):
            folder_data(annotations, images, (held_out, images))
        (tmp_path / "link").symlink_to(images)
        with pytest.raises(UserError, match="3 of 3 held-out images are trained on"):
            folder_data(annotations, images, (held_out, tmp_path / "link"))

    def test_copies_are_warned_about(self, tmp_path, caplog):
        ours = write_set(tmp_path / "a", {1: (24, 32), 2: (24, 32)}, [])
        theirs = write_set(tmp_path / "b", {11: (24, 32), 12: (24, 32)}, [])
        shutil.copy(ours[1] / "2.png", theirs[1] / "12.png")
        with caplog.at_level(logging.WARNING):
            folder_data(*ours, theirs)
        assert "1 of 2 held-out images have the same content" in caplog.text
        assert "images/12.png is" in caplog.text


def test_identity_is_of_categories_names_and_annotations(tmp_path):
    here, there = (write_many(tmp_path / name) for name in ("a", "b"))
    held_out = write_many(tmp_path / "c", seed=1)
    ours, theirs = (folder_data(*set_, held_out).identity() for set_ in (here, there))
    assert ours.as_dict() == theirs.as_dict()
    assert ours.category_ids == [3, 7, 90] and len(ours.files["train"]) == 7
    value = json.loads(there[0].read_text())
    value["annotations"][0]["bbox"][0] += 1
    write_json(there[0], value)
    changed = folder_data(*there, held_out).identity()
    assert changed.classes_digest == ours.classes_digest
    assert changed.files_digest("train") != ours.files_digest("train")
    assert len(np.setdiff1d(changed.files["train"], ours.files["train"])) == 1
