"""Preprocessing against the authors' numbers and TensorFlow's own operations."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.data.preprocessing import (
    NAMES,
    evaluation_function,
    pixel_scaling_function,
    training_function,
)
from sact_tf.errors import UserError
from tests.data.picture_files import smooth_picture


@pytest.fixture(scope="module")
def authors(golden):
    with np.load(golden / "preprocessing.npz") as file:
        return dict(file)


def _noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _traced(function):
    return tf.function(function, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])


def _authors_evaluation(image, height, width):
    """The authors' evaluation preprocessing, from its description, one pixel after the other."""
    image = image.astype(np.float64) / 255
    # TensorFlow 1's central_crop: the fraction becomes a whole number, 1 / ((1 - 0.875) / 2) = 16.
    top, left = image.shape[0] // 16, image.shape[1] // 16
    image = image[top : image.shape[0] - top, left : image.shape[1] - left]
    result = np.empty([height, width, 3])
    for row in range(height):
        for column in range(width):
            y, x = row * image.shape[0] / height, column * image.shape[1] / width
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, image.shape[0] - 1), min(x0 + 1, image.shape[1] - 1)
            fy, fx = y - y0, x - x0
            upper = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
            lower = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
            result[row, column] = upper * (1 - fy) + lower * fy
    return 2 * (result - 0.5)


class TestImageNetEvaluation:
    @pytest.mark.parametrize(("image", "size"), [("a", 64), ("a", 224), ("b", 64)])
    @pytest.mark.parametrize("wrap", [lambda f: f, _traced])
    def test_authors_numbers(self, authors, image, size, wrap):
        evaluate = wrap(evaluation_function({"name": "imagenet", "image_size": size}))
        result = evaluate(authors[f"imagenet_{image}/uint8"])
        np.testing.assert_allclose(result, authors[f"imagenet_{image}/eval_{size}"], atol=1e-6)

    @pytest.mark.parametrize(
        "shape", [(33, 47), (15, 15), (16, 31), (17, 63), (64, 97), (111, 113), (1, 1), (7, 200)]
    )
    @pytest.mark.parametrize("size", [(20, 20), (13, 29)])
    def test_other_sizes(self, shape, size):
        image = _noise(*shape)
        evaluate = _traced(evaluation_function({"name": "imagenet", "image_size": list(size)}))
        result = evaluate(image)
        assert result.dtype == tf.float32 and result.shape == [*size, 3]
        np.testing.assert_allclose(result, _authors_evaluation(image, *size), atol=2e-5)

    def test_224_by_default(self):
        function = _traced(evaluation_function({"name": "imagenet"}))
        assert function.get_concrete_function().output_shapes == [224, 224, 3]


class TestCifarEvaluation:
    @pytest.mark.parametrize("preprocessing", [{}, {"image_size": 32}, {"image_size": [32, 32]}])
    def test_authors_numbers(self, authors, preprocessing):
        evaluate = _traced(evaluation_function({"name": "cifar"} | preprocessing))
        np.testing.assert_allclose(
            evaluate(authors["cifar/uint8"]), authors["cifar/eval"], atol=1e-6
        )

    def test_constant_image(self):
        result = evaluation_function({"name": "cifar"})(np.full([5, 6, 3], 200, np.uint8))
        np.testing.assert_array_equal(result, np.zeros([5, 6, 3]))

    def test_other_sizes_are_resized(self):
        evaluate = _traced(evaluation_function({"name": "cifar", "image_size": 32}))
        result = evaluate(smooth_picture(100, 60)).numpy()
        assert result.shape == (32, 32, 3)
        assert abs(result.mean()) < 1e-5 and abs(result.std() - 1) < 1e-4
        # Rows are brighter downwards, as in the picture: it was resized, not cut.
        whole = evaluate(smooth_picture(32, 32)).numpy()
        assert np.abs(result - whole).max() < 0.1


@pytest.mark.parametrize(
    ("preprocessing", "padding"),
    [
        ({"name": "cifar"}, 2),
        ({"name": "cifar", "padding": 3}, 3),
        ({"name": "scale"}, 0),
        ({"name": "scale", "padding": 1, "cutout": None}, 1),
    ],
)
def test_training_shifts_and_flips(preprocessing, padding):
    image = _noise(32, 32)
    train = tf.function(training_function(preprocessing | {"image_size": 32}))
    evaluate = evaluation_function(preprocessing)
    # Zeros are put around pixels of 0 to 255, or around scaled values of -1 to 1.
    scaled = preprocessing["name"] == "scale"
    picture = evaluate(image).numpy() if scaled else image
    padded = np.pad(picture, ((padding, padding), (padding, padding), (0, 0)))
    candidates = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[top : top + 32, left : left + 32]
            for flip in (False, True):
                turned = crop[:, ::-1] if flip else crop
                candidates[top, left, flip] = turned if scaled else evaluate(turned).numpy()
    found = set()
    for seed in range(200):
        result = train(image, tf.constant([seed, 7])).numpy()
        assert result.shape == (32, 32, 3)
        matches = [k for k, v in candidates.items() if np.allclose(result, v, atol=1e-5)]
        assert len(matches) == 1
        found.update(matches)
    shifts = set(range(2 * padding + 1))
    assert {top for top, _, _ in found} == {left for _, left, _ in found} == shifts
    assert {flip for _, _, flip in found} == {False, True}


@pytest.mark.parametrize("name", ["cifar", "scale"])
@pytest.mark.parametrize("side", [1, 4, 5])
def test_cutout_is_a_square_around_a_pixel(name, side):
    image = _noise(9, 13)
    train = tf.function(training_function({"name": name, "cutout": side}))
    whole = tf.function(training_function({"name": name}))
    corners, sizes = set(), set()
    for seed in range(150):
        seed = tf.constant([seed, 3])
        result, expected = train(image, seed).numpy(), whole(image, seed).numpy()
        changed = (result != expected).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        assert (result[top:bottom, left:right] == 0).all()
        expected[top:bottom, left:right] = 0
        np.testing.assert_array_equal(result, expected)
        corners.add((top, left))
        sizes.add((bottom - top, right - left))
    # The square lies partly outside where its centre is close to the border.
    smallest = side - side // 2
    assert sizes == {(h, w) for h in range(smallest, side + 1) for w in range(smallest, side + 1)}
    assert {top for top, _ in corners} == set(range(9 - side // 2))
    assert {left for _, left in corners} == set(range(13 - side // 2))


def test_augmentation_leaves_evaluation_alone():
    image = _noise(9, 13)
    for name in ("cifar", "scale"):
        np.testing.assert_array_equal(
            evaluation_function({"name": name, "padding": 4, "cutout": 5})(image),
            evaluation_function({"name": name})(image),
        )


class TestImageNetTraining:
    def test_range_shape_and_variety(self):
        train = tf.function(training_function({"name": "imagenet", "image_size": [20, 28]}))
        results = [train(_noise(60, 80), tf.constant([seed, 0])).numpy() for seed in range(30)]
        for result in results:
            assert result.shape == (20, 28, 3) and result.dtype == np.float32
            assert -1 <= result.min() < result.max() <= 1
        assert len({result.tobytes() for result in results}) == 30

    def test_crops_have_the_areas_and_aspects_of_the_paper(self):
        # Coordinates as colours: what the network sees tells which part of the image it is.
        from sact_tf.data.imagenet_augmentation import _random_crop

        rows, columns = np.meshgrid(np.arange(100.0), np.arange(150.0), indexing="ij")
        image = tf.constant(np.stack([rows, columns, rows], axis=2), tf.float32)
        crop = tf.function(_random_crop)
        areas, aspects = [], []
        for seed in range(300):
            part = crop(image, tf.constant([seed, 1]))
            height, width = part.shape[:2]
            areas.append(height * width / 15000)
            aspects.append(width / height)
        assert 0.05 - 0.01 <= min(areas) < 0.15 and 0.6 < max(areas) <= 1
        assert 0.72 < min(aspects) < 0.85 and 1.25 < max(aspects) < 1.37

    def test_flips_and_colours(self):
        # Large flat halves survive cropping and every kind of resizing.
        image = np.full([64, 64, 3], 60, np.uint8)
        image[:, 32:] = 160
        train = tf.function(training_function({"name": "imagenet", "image_size": 16}))
        results = [train(image, tf.constant([seed, 0])).numpy() for seed in range(60)]
        falling = [r[:, 0].mean() > r[:, -1].mean() + 0.1 for r in results]
        rising = [r[:, 0].mean() < r[:, -1].mean() - 0.1 for r in results]
        assert 5 < sum(falling) < 50 and 5 < sum(rising) < 50
        assert np.std([r.mean() for r in results]) > 0.05

    def test_colour_jitter_changes_hue_and_saturation(self):
        image = np.broadcast_to(np.array([200, 90, 40], np.uint8), [30, 30, 3])
        train = tf.function(training_function({"name": "imagenet", "image_size": 8}))
        colors = np.array([train(image, tf.constant([0, s]))[4, 4].numpy() for s in range(60)])
        hsv = tf.image.rgb_to_hsv((colors + 1) / 2).numpy()
        assert np.ptp((hsv[:, 0] + 0.5) % 1) > 0.2 and np.ptp(hsv[:, 1]) > 0.3
        assert np.ptp(hsv[:, 2]) > 0.2

    @pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2)])
    def test_tiny_images(self, shape):
        train = tf.function(training_function({"name": "imagenet", "image_size": 16}))
        for seed in range(5):
            result = train(_noise(*shape), tf.constant([seed, 0]))
            assert result.shape == (16, 16, 3) and np.isfinite(result).all()


@pytest.mark.parametrize("name", ["imagenet", "cifar", "scale"])
def test_augmentation_is_keyed_by_the_seed(name):
    image = _noise(40, 40)
    train = tf.function(training_function({"name": name, "image_size": 24}))
    seeds = [tf.constant([1, seed]) for seed in range(8)]
    first = [train(image, seed).numpy() for seed in seeds]
    tf.random.set_seed(99)  # Global state plays no part.
    again = [train(image, seed).numpy() for seed in seeds]
    np.testing.assert_array_equal(first, again)
    assert len({result.tobytes() for result in first}) > 1


def test_scale_and_unit():
    image = _noise(12, 10)
    np.testing.assert_allclose(
        evaluation_function({"name": "scale"})(image), image / 127.5 - 1, atol=1e-6
    )
    np.testing.assert_allclose(
        evaluation_function({"name": "unit", "image_size": [12, 10]})(image), image / 255, atol=1e-6
    )
    train = training_function({"name": "unit", "image_size": 7})
    smaller = evaluation_function({"name": "unit", "image_size": 7})(image)
    assert smaller.shape == (7, 7, 3)
    np.testing.assert_array_equal(train(image, tf.constant([1, 2])), smaller)


@pytest.mark.parametrize("name", NAMES)
def test_pixel_scaling_agrees_with_evaluation(name, authors):
    image = authors["cifar/uint8"]
    scaled = pixel_scaling_function({"name": name})(image)
    if name == "imagenet":  # Without its crop.
        np.testing.assert_allclose(scaled, image / 127.5 - 1, atol=1e-6)
    else:
        np.testing.assert_allclose(scaled, evaluation_function({"name": name})(image), atol=1e-5)
    batch = pixel_scaling_function({"name": name})(np.stack([image, image[::-1]]).astype(float))
    np.testing.assert_allclose(batch[0], scaled, atol=1e-6)


@pytest.mark.parametrize(
    "preprocessing",
    [
        None,
        "imagenet",
        {},
        {"name": "inception"},
        {"name": "scale", "size": 3},
        {"name": "scale", "image_size": 0},
        {"name": "scale", "image_size": [3]},
        {"name": "scale", "image_size": 2.5},
        {"name": "scale", "image_size": True},
        {"name": "imagenet", "padding": 4},
        {"name": "unit", "cutout": 8},
    ],
)
def test_impossible_descriptions(preprocessing):
    for function in (evaluation_function, training_function, pixel_scaling_function):
        with pytest.raises(UserError, match="Expected preprocessing.*received"):
            function(preprocessing)


@pytest.mark.parametrize("key", ["padding", "cutout"])
@pytest.mark.parametrize("pixels", [-1, 2.5, True, "4"])
def test_impossible_augmentation(key, pixels):
    with pytest.raises(UserError, match=f"Expected preprocessing {key} .*received {pixels!r}"):
        training_function({"name": "cifar", key: pixels})


@pytest.mark.parametrize("image", [np.zeros([4, 4, 3]), np.zeros([4, 4, 1], np.uint8)])
def test_wrong_images(image):
    with pytest.raises(ValueError, match="Expected image to"):
        evaluation_function({"name": "scale"})(image)


_READER = """
import json, sys, numpy as np, tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
image = np.random.default_rng(5).integers(0, 256, (45, 31, 3), np.uint8)
print(json.dumps({name: getattr(module, name)(image).numpy().tolist() for name in sys.argv[2:]}))
"""


def test_in_a_saved_model_read_without_the_package(tmp_path):
    module = tf.Module()
    functions = {}
    for name in NAMES:
        functions[name] = evaluation_function({"name": name, "image_size": [9, 11]})
        setattr(module, name, _traced(functions[name]))
    tf.saved_model.save(module, str(tmp_path / "m"))
    output = subprocess.run(
        [sys.executable, "-I", "-c", _READER, str(tmp_path / "m"), *NAMES],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    for name, values in json.loads(output).items():
        np.testing.assert_allclose(values, functions[name](_noise(45, 31, seed=5)), atol=1e-6)
