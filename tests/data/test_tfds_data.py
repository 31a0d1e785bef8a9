"""Prepared TFDS sets: reading by number, splits, damaged records."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from sact_tf.data import TfdsClassification
from sact_tf.errors import UserError, user_error_in
from tests.data import tfds_sets
from tests.data.streams import assert_resumes, take

_UNIT = {"name": "unit"}
_SMALL = {"name": "imagenet", "image_size": 16}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tfds_sets.prepare(tfds_sets.TinyCifar, folder, num_shards=3)
    tfds_sets.prepare(tfds_sets.TinyImagenet, folder, "whole")
    tfds_sets.prepare(tfds_sets.TinyImagenet, folder, "broken")
    tfds_sets.prepare(tfds_sets.TinyText, folder)
    return folder


@pytest.fixture(params=["tfrecord", "array_record"], scope="module")
def cifar_dir(request, data_dir, tmp_path_factory):
    if request.param == "tfrecord":
        return data_dir
    folder = tmp_path_factory.mktemp("array_record")
    tfds_sets.prepare(tfds_sets.TinyCifar, folder, file_format=request.param)
    return folder


def _cifar(data_dir, **options):
    options = {"validation_split": "test", "preprocessing": _UNIT} | options
    return TfdsClassification("tiny_cifar", data_dir, **options)


def test_evaluation_gives_what_tfds_gives(cifar_dir):
    data = _cifar(cifar_dir)
    assert data.num_classes == 3 and data.class_names == ["cat", "dog", "owl"]
    assert data.num_examples("train") == 20 and data.num_examples("validation") == 10
    batches = take(data.evaluation(4), 9)
    assert [len(batch["label"]) for batch in batches] == [4, 4, 2]
    if cifar_dir.name.startswith("tfds"):
        reference = tfds.load("tiny_cifar", data_dir=cifar_dir, split="test")
        for batch, wanted in zip(batches, reference.batch(4), strict=True):
            np.testing.assert_allclose(batch["image"], wanted["image"] / 255, atol=1e-6)
            np.testing.assert_array_equal(batch["label"], wanted["label"])
    else:
        images = {image.tobytes() for image in tfds_sets.TinyCifar.pictures[20:]}
        received = np.concatenate([batch["image"] for batch in batches])
        assert {np.round(i * 255).astype(np.uint8).tobytes() for i in received} == images


def test_stream_resumes_across_epochs(cifar_dir):
    data = _cifar(cifar_dir, preprocessing={"name": "cifar", "image_size": 32})
    whole = assert_resumes(data, batch_size=6, steps=10, start_steps=(2, 3, 4, 9))
    labels = np.concatenate([batch["label"] for batch in whole])
    assert np.bincount(labels[:20]).tolist() == np.bincount(labels[20:40]).tolist() == [7, 7, 6]
    assert (labels[:20] != labels[20:40]).any()


def test_an_epoch_has_every_image_once(cifar_dir):
    (batch,) = take(_cifar(cifar_dir).train(20, seed=0), 1)
    images = {np.round(image * 255).astype(np.uint8).tobytes() for image in batch["image"]}
    assert images == {image.tobytes() for image in tfds_sets.TinyCifar.pictures[:20]}


def test_parts_of_splits(cifar_dir):
    data = _cifar(cifar_dir, train_split="train[:70%]", validation_split="train[70%:]")
    assert data.num_examples("train") == 14 and data.num_examples("validation") == 6
    (train,) = take(data.train(14, seed=0), 1)
    (held_out,) = take(data.evaluation(6), 1)
    images = [i.tobytes() for i in np.concatenate([train["image"], held_out["image"]])]
    assert len(set(images)) == 20
    both = _cifar(cifar_dir, train_split="train+test[:5]", validation_split="test[5:]")
    assert both.num_examples("train") == 25


@pytest.mark.parametrize(
    ("train", "validation", "shared"),
    [
        ("train", "train", "20 of 20"),
        ("train[:50%]", "train[40%:]", "2 of 12"),
        ("train[12:]", "train[:9]+train[15:16]", "1 of 10"),
        ("train+test[:3]", "test", "3 of 10"),
        ("train[:10]+train[15:]", "train[9:16]+test", "2 of 17"),
    ],
)
def test_splits_that_overlap_are_refused(cifar_dir, train, validation, shared):
    with pytest.raises(UserError) as raised:
        _cifar(cifar_dir, train_split=train, validation_split=validation)
    message = f"{shared} images of validation_split='{validation}' are in train_split='{train}'"
    assert message in str(raised.value)


def test_places_name_the_file_and_the_record(cifar_dir):
    data = _cifar(cifar_dir, train_split="test", validation_split="train[5:18]")
    paths = [p.decode() for batch in take(data.evaluation(13), 1) for p in batch["path"]]
    assert len(set(paths)) == 13
    for path in paths:
        file, record = path.split(": record ")
        assert pathlib.Path(file).is_file() and 0 <= int(record) < 20
    if not cifar_dir.name.startswith("tfds"):
        assert [int(path.split()[-1]) for path in paths] == list(range(5, 18))


def test_images_of_different_sizes(data_dir):
    data = TfdsClassification("tiny_imagenet/whole", data_dir, preprocessing=_SMALL)
    assert data.class_names == ["n01", "n02", "n03", "n04"]
    assert_resumes(data, batch_size=5, steps=7, start_steps=(4, 5))
    (batch,) = take(data.evaluation(8), 1)
    reference = tfds.load("tiny_imagenet/whole", data_dir=data_dir, split="validation")
    from sact_tf.data import evaluation_function

    for image, label, wanted in zip(batch["image"], batch["label"], reference, strict=True):
        np.testing.assert_allclose(image, evaluation_function(_SMALL)(wanted["image"]), atol=0.06)
        assert label == wanted["label"]


def test_label_offset(data_dir):
    plain = TfdsClassification("tiny_imagenet/whole", data_dir, preprocessing=_SMALL)
    shifted = TfdsClassification(
        "tiny_imagenet/whole", data_dir, preprocessing=_SMALL, label_offset=1, num_classes=6
    )
    assert shifted.num_classes == 6
    assert shifted.class_names == ["background", "n01", "n02", "n03", "n04", "class 5"]
    (batch,), (other,) = take(plain.evaluation(8), 1), take(shifted.evaluation(8), 1)
    np.testing.assert_array_equal(batch["label"] + 1, other["label"])
    one = TfdsClassification("tiny_imagenet/whole", data_dir, label_offset=1)
    assert one.num_classes == 5 and one.preprocessing == {"name": "imagenet", "image_size": 224}


class TestBrokenImages:
    def _data(self, data_dir, **options):
        return TfdsClassification(
            "tiny_imagenet/broken", data_dir, preprocessing=_SMALL, num_classes=4, **options
        )

    def test_stop_and_name_the_record(self, data_dir):
        data = self._data(data_dir)
        for dataset in (data.evaluation(2), data.train(4, seed=0)):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                take(dataset, 6)
            message = str(user_error_in(caught.value))
            assert message.startswith(str(data_dir / "tiny_imagenet" / "broken"))
            assert "record" in message
            assert "not a readable image" in message or "label -1" in message

    def test_both_kinds_are_met(self, data_dir):
        data = self._data(data_dir, skip_corrupt=True)
        (batch,) = take(data.evaluation(8), 8)
        assert len(batch["label"]) == 6
        messages = " ".join(data.corrupt_images.values())
        assert len(data.corrupt_images) == 2
        assert "not a readable image" in messages
        assert "label -1 with label_offset=0 is not in 0 ... 3" in messages

    def test_skipping_keeps_the_stream(self, data_dir):
        assert_resumes(
            self._data(data_dir, skip_corrupt=True), batch_size=4, steps=12, start_steps=(3, 7)
        )


def _damage(path, change):
    data = bytearray(path.read_bytes())
    path.write_bytes(change(data))


class TestDamagedFiles:
    @pytest.fixture
    def file(self, tmp_path):
        tfds_sets.prepare(tfds_sets.TinyCifar, tmp_path)
        return tmp_path / "tiny_cifar" / "1.0.0" / "tiny_cifar-train.tfrecord-00000-of-00001"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda data: data[:-100], "record 19 of 20 is cut off"),
            (lambda data: b"", "expected 20 records, found 0"),
            (lambda data: b"\xff" * 12 + data[12:], "record 0 of 20 is cut off or damaged"),
        ],
    )
    def test_cut_off(self, tmp_path, file, change, message):
        _damage(file, change)
        with pytest.raises(UserError, match=f"{file.name}: .*{message}"):
            _cifar(tmp_path)

    def test_garbage_in_a_record(self, tmp_path, file):
        _damage(file, lambda data: data[:12] + b"\xff" * 200 + data[212:])
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            take(_cifar(tmp_path).train(20, seed=0), 1)
        assert f"{file.name}: record 0 is damaged" in str(user_error_in(caught.value))

    def test_missing(self, tmp_path, file):
        file.unlink()
        with pytest.raises(UserError, match=f"{file.name}: no such file"):
            _cifar(tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cifar10", {}, r"cifar10: no prepared .* tfds.builder\('cifar10', data_dir='/"),
        ("tiny_cifar", {"validation_split": "valid"}, "no split 'valid'; it has test, train"),
        ("tiny_cifar", {"validation_split": "test[:"}, "no split"),
        ("tiny_cifar", {"num_classes": 2}, "at least 3, received 2"),
        ("tiny_cifar", {"num_classes": 3, "label_offset": 1}, "at least 4, received 3"),
        ("tiny_cifar", {"label_offset": -1}, "label_offset"),
        ("tiny_text", {"validation_split": "train"}, "'image' and 'label', found .'text'"),
    ],
)
def test_unusable_sets(data_dir, name, options, message):
    with pytest.raises(UserError, match=message):
        TfdsClassification(name, data_dir, **{"validation_split": "test"} | options)
