"""A run remembers its data: other classes are refused, other files are said."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sact_tf.data.identity import DataIdentity, hashed
from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier, ResNetBackbone
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.resolutions import (
    HeldOutImages,
    evaluate_at,
    evaluate_resolutions,
    held_out_images,
    labelled_for,
)
from sact_tf.training.config.loading import load_config
from sact_tf.training.reports.localization import localization_auc
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.recorded_data import check_classes, differences
from tests.training import running

_CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("held_out", 3)):
        for index, name in enumerate(_CLASSES):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(80 * index, 80 * index + 60, [20, 24, 3], np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    return tmp_path


def override(photos, extra=""):
    return (
        "data={source: image_folder, cluttered_digits: null, image_folder: {train_dir: "
        f"'{photos / 'train'}', validation_dir: '{photos / 'held_out'}'}}, "
        f"preprocessing: {{name: scale, image_size: [16, 20]}}{extra}}}"
    )


@pytest.fixture
def load(tmp_path):
    """Loads a config whose data is in a folder, as `prepare` does."""

    def load(photos):
        overrides = ["runtime.deterministic=false,train.steps=2,evaluation.every=null"]
        path = running.write_config(tmp_path)
        return load_config(ClassificationConfig, path, [*overrides, override(photos)])

    return load


@pytest.fixture
def compare(tmp_path, load):
    """Compares the data in a folder with that of the run, as `TrainingRun` does."""

    def compare(photos, directory=None):
        directory = directory or RunDirectory(tmp_path / "run")
        config = load(photos)
        changes = directory.compare(config)
        return directory.compare_data(builders.build_data(config.data).identity(), changes)

    return compare


@pytest.fixture
def recorded(tmp_path, photos, load):
    """The directory of a run that has recorded its data."""
    directory = RunDirectory(tmp_path / "run")
    config = load(photos)
    directory.save(config, builders.build_data(config.data).identity())
    return directory


def test_the_configs_augmentation_reaches_training(photos, tmp_path):
    def zeros(*overrides):
        path = running.write_config(tmp_path)
        config = load_config(ClassificationConfig, path, [override(photos), *overrides])
        batch = next(iter(builders.build_data(config.data).train(9, seed=0)))
        return (batch["image"].numpy() == 0).all(-1).sum((1, 2))

    # No pixel value is in the middle of [-1, 1]: where nothing is padded or cut out, none is zero.
    assert (zeros() == 0).all()
    cut = zeros("data.preprocessing.cutout=6")
    assert (cut >= 3 * 3).all() and (cut <= 6 * 6).all()
    assert zeros("data.preprocessing.padding=4").any()


def rename(photos, before, now):
    for split in ("train", "held_out"):
        (photos / split / before).rename(photos / split / now)


def test_the_same_data_is_not_worth_a_word(photos, recorded, compare):
    assert compare(photos) == []


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: rename(f, "cat", "fox"), "class 0: 'cat' -> 'dog'; class 1: 'dog' -> 'fox'"),
        (lambda f: rename(f, "owl", "rat"), r"other classes.*class 2: 'owl' -> 'rat'\. Give"),
        (
            lambda f: [shutil.rmtree(f / split / "dog") for split in ("train", "held_out")],
            "3 classes there, 2 now.*class 1: 'dog' -> 'owl'; class 2: 'owl' -> none",
        ),
        (
            lambda f: shutil.copytree(f / "train" / "dog", f / "train" / "elk"),
            "3 classes there, 4 now.*class 2: 'owl' -> 'elk'; class 3: none -> 'owl'",
        ),
    ],
)
def test_other_classes_are_refused_and_nothing_is_written(
    prepare, photos, recorded, change, message, trains
):
    before = {path: path.read_bytes() for path in recorded.path.glob("*.*")}
    change(photos)
    with pytest.raises(UserError, match=message):
        prepare(override(photos), trains=trains)
    assert {path: path.read_bytes() for path in recorded.path.glob("*.*")} == before


def test_other_files_are_counted(photos, recorded, compare):
    for number in range(2):
        shutil.copy(photos / "train" / "cat" / "0.png", photos / "train" / "dog" / f"n{number}.png")
    (photos / "held_out" / "owl" / "2.png").unlink()
    assert compare(photos) == [
        f"warning: the data has changed since the run was saved: {what}"
        for what in (
            "train: 2 files new, 0 gone (18 -> 20)",
            "validation: 0 files new, 1 gone (9 -> 8)",
        )
    ]


def test_what_was_held_out_and_is_trained_on_is_counted(photos, recorded, compare):
    shutil.move(photos / "held_out" / "cat" / "2.png", photos / "train" / "cat" / "7.png")
    assert not any("held out" in line for line in compare(photos))  # It has another name.
    shutil.move(photos / "train" / "cat" / "7.png", photos / "train" / "cat" / "2.png")
    assert compare(photos)[-1].endswith("1 files that were held out are trained on now")


def test_a_run_goes_on_with_what_it_has_found(prepare, photos, recorded, compare, capsys):
    (photos / "train" / "owl" / "2.png").unlink()
    prepare(override(photos)).train(evaluates=False)
    assert capsys.readouterr().out.count("train: 0 files new, 1 gone (18 -> 17)") == 1
    assert compare(photos) == []
    (photos / "train" / "owl" / "3.png").unlink()
    prepare(override(photos), trains=False)
    assert capsys.readouterr().out.count("train: 0 files new, 1 gone (17 -> 16)") == 1
    assert len(compare(photos)) == 1  # An evaluation leaves the record as it is.
    model = load_classifier(recorded.path / "checkpoints" / "ckpt-2")
    assert model.class_names == list(_CLASSES)


def test_a_run_without_a_record_cannot_be_compared(photos, recorded, compare):
    recorded.data.unlink()
    rename(photos, "owl", "rat")
    (line,) = compare(photos)
    assert "did not record classes and files" in line


def test_a_damaged_record_is_named(photos, recorded, compare):
    recorded.data.write_text("{}")
    with pytest.raises(UserError, match=r"data\.json: cannot be read as the record"):
        compare(photos)


class TestMovedData:
    @pytest.fixture
    def elsewhere(self, photos):
        for split in ("train", "held_out"):
            shutil.copytree(photos / split, photos / "other" / split)
        return photos / "other"

    def test_the_same_data_at_another_place_will_do(self, recorded, compare, load, elsewhere):
        assert compare(elsewhere) == []
        assert list(recorded.compare(load(elsewhere))) == [
            "data.image_folder.train_dir",
            "data.image_folder.validation_dir",
        ]

    def test_other_files_at_another_place_will_not(self, recorded, compare, elsewhere):
        (elsewhere / "train" / "cat" / "0.png").unlink()
        with pytest.raises(UserError, match=r"other data.*train_dir: .*but train: 0 files new, 1"):
            compare(elsewhere)

    def test_without_a_record_it_is_another_run(self, recorded, compare, elsewhere):
        recorded.data.unlink()
        with pytest.raises(UserError, match="another config.*data.image_folder.train_dir"):
            compare(elsewhere)


class TestEvaluation:
    def test_labels_are_matched_by_name(self, photos, load):
        names = ["horse", *reversed(_CLASSES)]
        model = ImageClassifier(ResNetBackbone.cifar(1, base_channels=4), 4, names)
        held_out = held_out_images(load(photos).data, 16, 9)
        (batch,) = labelled_for(model, held_out)
        expected = [names.index(path.decode().split("/")[-2]) for path in batch["path"].numpy()]
        assert batch["label"].numpy().tolist() == expected == [3] * 3 + [2] * 3 + [1] * 3

    def test_classes_of_other_names_are_refused(self, photos, load):
        names = ["fox", "dog", "owl"]
        model = ImageClassifier(ResNetBackbone.cifar(1, base_channels=4), 3, names)
        with pytest.raises(UserError, match="not know by name: cat; the model's: fox, dog, owl"):
            evaluate_at(model, load(photos).data, 16, 9)

    def test_without_names_numbers_are_compared(self, photos, load):
        model = ImageClassifier(ResNetBackbone.cifar(1, base_channels=4), 4)
        with pytest.raises(UserError, match="model has 4 classes and the data 3") as raised:
            evaluate_at(model, load(photos).data, 16, 9)
        assert "data.image_folder.train_dir needs one sub-folder for each" in str(raised.value)
        assert "data.tfds" not in str(raised.value)
        held_out = HeldOutImages(tf.data.Dataset.range(1), 1, 3, None, "tfds")
        with pytest.raises(UserError, match=r"data\.tfds\.label_offset and data\.tfds\.num_cl"):
            labelled_for(model, held_out)


def test_the_ponder_map_is_judged_by_boxes_of_photographs(prepare, photos, tmp_path):
    boxes = {f"{name}/{i}.png": [4, 3 * i, 15, 3 * i + 8] for name in _CLASSES for i in range(3)}
    del boxes["dog/2.png"]
    (photos / "boxes.json").write_text(json.dumps({"train": {}, "val": boxes}))
    with_boxes = f"data.image_folder.boxes='{photos / 'boxes.json'}'"
    prepare(override(photos)).train(evaluates=False)
    run = prepare(override(photos), with_boxes, trains=False)  # Boxes may come later.
    metrics = run.evaluate()
    areas = []
    for name in boxes:
        pixels = tf.io.decode_png(tf.io.read_file(str(photos / "held_out" / name)))
        image = tf.image.resize(pixels / 255, [16, 20], antialias=True) * 2 - 1
        cost = run.model.ponder(image[None])["ponder_cost_map"].numpy()
        top, left, bottom, right = boxes[name]
        box = (
            np.array([[top, left, bottom + 1, right + 1]])
            * np.array([16, 20] * 2)
            / np.array([20, 24] * 2)
        )
        areas.append(localization_auc(cost, box)[0])
    assert metrics["ponder_localization_images"] == len(areas) == 8
    assert metrics["ponder_localization_auc"] == pytest.approx(np.mean(areas), abs=1e-3)
    assert len({round(area, 3) for area in areas}) > 3  # Not a constant map.
    assert [sample.box is None for sample in run.evaluator.samples].count(True) <= 1
    assert "pixels outside, 8 images" in run.directory.report.read_text()
    evaluate_resolutions(
        run.directory.path, [32], params_override=[with_boxes], output_dir=tmp_path / "sizes"
    )
    (found,) = running.read_metrics(tmp_path / "sizes")["evaluations"]
    assert found["ponder_localization_images"] == 8


def _identity(names, ids=None, **files):
    files = {split: hashed(name.encode() for name in given) for split, given in files.items()}
    return DataIdentity(len(names), names, ids, files)


def test_category_ids_are_compared(tmp_path):
    before = _identity(["cat", "dog"], [1, 2])
    check_classes(before, _identity(["cat", "dog"], [1, 2]), tmp_path)
    with pytest.raises(UserError, match=r"class 1: 'dog' \(category 2\) -> 'dog' \(category 7\)"):
        check_classes(before, _identity(["cat", "dog"], [1, 7]), tmp_path)


def test_an_identity_survives_its_file():
    before = _identity(["a", "b\udcff"], [3, 9], train="xyz", validation="v")
    after = DataIdentity.from_dict(json.loads(json.dumps(before.as_dict())))
    assert after.as_dict() == before.as_dict()
    assert list(differences(before, after)) == []
    later = _identity(["a", "b"], train="xyvw", validation="u")
    assert list(differences(before, later)) == [
        "train: 2 files new, 1 gone (3 -> 4)",
        "validation: 1 files new, 1 gone (1 -> 1)",
        "1 files that were held out are trained on now",
    ]


def test_the_order_of_files_means_nothing():
    assert (hashed([b"a", b"b"]) == hashed([b"b", b"a"])).all() and len(hashed([])) == 0
