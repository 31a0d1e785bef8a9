"""Cluttered digits: what is drawn, where, from which seed; streams that resume."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sact_tf.data import ClutteredDigits
from sact_tf.errors import UserError
from tests.data.streams import assert_resumes, assert_same, take


def _small(**options):
    return ClutteredDigits(**{"num_train": 50, "num_validation": 30} | options)


@pytest.fixture(scope="module")
def data():
    return _small()


def test_shapes_and_range(data):
    (batch,) = take(data.train(8, seed=0), 1)
    assert batch.keys() == {"image", "label"}
    assert batch["image"].shape == (8, 48, 48, 3) and batch["image"].dtype == np.float32
    assert batch["label"].shape == (8,) and batch["label"].dtype == np.int32
    assert batch["image"].min() == 0 and 0.9 < batch["image"].max() <= 1
    np.testing.assert_array_equal(batch["image"][..., 0], batch["image"][..., 2])
    assert data.num_classes == 10 and data.class_names == list("0123456789")
    assert data.preprocessing == {"name": "unit", "image_size": 48}
    assert data.num_examples("train") == 50 and data.num_examples("validation") == 30


def test_evaluation_is_every_canvas_once_with_the_last_batch_partial(data):
    batches = list(data.evaluation(20))
    assert [len(batch["label"]) for batch in batches] == [20, 10]
    canvases = data.canvases("validation", np.arange(30))
    images = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_allclose(images, canvases.images / np.float32(255), atol=1e-7)
    np.testing.assert_array_equal(
        np.concatenate([batch["box"] for batch in batches]), canvases.boxes
    )
    np.testing.assert_array_equal(
        np.concatenate([batch["label"] for batch in batches]), canvases.labels
    )
    assert_same(take(data.evaluation(20), 2), take(_small().evaluation(20), 2))


def test_stream_resumes_across_epochs(data):
    # 50 canvases in batches of 8: batch 6 lies across the end of the first epoch.
    assert_resumes(data, batch_size=8, steps=15, start_steps=(1, 6, 7, 13))


def test_an_epoch_has_each_digit_once_and_the_next_one_new_canvases():
    data = ClutteredDigits(num_train=1297)
    first, second = take(data.train(1297, seed=0), 2)
    counts = np.bincount(load_digits().target[:1297])
    np.testing.assert_array_equal(np.bincount(first["label"]), counts)
    np.testing.assert_array_equal(np.bincount(second["label"]), counts)
    assert (first["label"] != second["label"]).any()
    seen = {image.tobytes() for image in first["image"]}
    assert len(seen) == 1297
    assert not any(image.tobytes() in seen for image in second["image"])


def test_training_and_held_out_digits_are_disjoint():
    data = ClutteredDigits(num_train=3000, num_validation=1000)
    train = data.canvases("train", np.arange(3000), seed=5, epochs=2)
    held_out = data.canvases("validation", np.arange(1000))
    for digits in (train.digits, train.distractors):
        assert digits.min() >= 0 and digits.max() < 1297
    for digits in (held_out.digits, held_out.distractors):
        assert digits.min() >= 1297 and digits.max() < 1797
    assert set(train.digits) == set(range(1297)) and set(held_out.digits) == set(range(1297, 1797))
    np.testing.assert_array_equal(held_out.labels, load_digits().target[held_out.digits])


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_piece_comes_from_the_digit_itself(split):
    canvases = ClutteredDigits(num_validation=2000).canvases(split, np.arange(2000))
    assert (canvases.distractors != canvases.digits[:, None]).all()
    assert canvases.distractors.shape == (2000, 8)


def test_held_out_canvases_depend_on_the_seed_of_the_data_alone():
    one, other = _small(seed=1), _small(seed=2)
    indices = np.arange(30)
    np.testing.assert_array_equal(
        one.canvases("validation", indices, seed=7, epochs=3).images,
        one.canvases("validation", indices).images,
    )
    images = one.canvases("validation", indices).images
    assert (images != other.canvases("validation", indices).images).any(axis=(1, 2, 3)).all()
    # A canvas does not depend on how many there are, nor on those drawn with it.
    np.testing.assert_array_equal(
        ClutteredDigits(seed=1, num_validation=2000).canvases("validation", [17]).images[0],
        images[17],
    )


def test_box_bounds_the_digit():
    # Without pieces all ink belongs to the digit.
    data = _small(num_distractors=0, image_size=40, digit_size=20, num_validation=200)
    canvases = data.canvases("validation", np.arange(200))
    ink = load_digits().images[canvases.digits]
    for image, box, digit in zip(canvases.images[..., 0], canvases.boxes, ink, strict=True):
        top, left, bottom, right = box.astype(int)
        assert (bottom - top, right - left) == (20, 20)
        assert 0 <= top and bottom <= 40 and 0 <= left and right <= 40
        inside = image[top:bottom, left:right].astype(float)
        assert inside.sum() == image.sum()
        # It is this digit: brought back to 8x8 it looks like the original.
        rows = np.add.reduceat(inside, np.arange(0, 20, 20 / 8).astype(int), axis=0)
        small = np.add.reduceat(rows, np.arange(0, 20, 20 / 8).astype(int), axis=1)
        assert np.corrcoef(small.ravel(), digit.ravel())[0, 1] > 0.85
    assert len(np.unique(canvases.boxes[:, 0])) > 15 and len(np.unique(canvases.boxes[:, 1])) > 15


def test_pieces_lie_where_the_digit_is_not_too():
    plain, cluttered = _small(num_distractors=0), _small(num_distractors=8)
    indices = np.arange(30)
    digit = plain.canvases("validation", indices)
    both = cluttered.canvases("validation", indices)
    np.testing.assert_array_equal(digit.boxes, both.boxes)
    assert (both.images >= digit.images).all()
    added = (both.images[..., 0] > digit.images[..., 0]).sum(axis=(1, 2))
    assert (added > 50).all() and (added <= 8 * 64).all()


def test_a_digit_as_large_as_the_canvas():
    data = _small(image_size=9, digit_size=9, distractor_size=9, num_distractors=1)
    (batch,) = take(data.evaluation(4), 1)
    np.testing.assert_array_equal(batch["box"], [[0, 0, 9, 9]] * 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digit_size": 49}, "digit_size to be at most image_size=48, received 49"),
        ({"distractor_size": 25}, "digit_size=24, received 25"),
        ({"num_distractors": -1}, "num_distractors .* at least 0, received -1"),
        ({"image_size": 48.0}, "image_size .* int .* received 48.0"),
        ({"num_train": 0}, "num_train"),
        ({"num_validation": 0}, "num_validation"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_sizes(options, message):
    with pytest.raises(UserError, match=message):
        ClutteredDigits(**options)


@pytest.mark.parametrize("arguments", [(0, 0), (4, -1), (4, 0, -1), (4, 1.5)])
def test_impossible_training_arguments(data, arguments):
    with pytest.raises(UserError, match="Expected"):
        data.train(*arguments)


def test_unknown_split(data):
    with pytest.raises(UserError, match="'train', 'validation'.*received 'test'"):
        data.num_examples("test")
