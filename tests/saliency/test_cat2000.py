import numpy as np
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.saliency import Cat2000
from tests import cat2000_files


@pytest.fixture
def data_dir(tmp_path):
    return cat2000_files.write_dataset(tmp_path / "trainSet")


def _first(data_dir):
    return Cat2000(data_dir).images[0]


def test_images_of_all_categories_without_the_output_folders(data_dir):
    dataset = Cat2000(data_dir)
    assert dataset.categories == ("Action", "Art")
    assert [image.name for image in dataset.images] == [
        f"{category}/{number:03d}" for category in ("Action", "Art") for number in range(1, 7)
    ]
    assert [image.in_first_half for image in dataset.images] == ([True] * 3 + [False] * 3) * 2


def test_a_subset_of_categories(data_dir):
    dataset = Cat2000(data_dir, ["Art"])
    assert dataset.categories == ("Art",)
    assert {image.category for image in dataset.images} == {"Art"}
    with pytest.raises(UserError, match="no images of category 'Sky'; there are Action, Art"):
        Cat2000(data_dir, ["Art", "Sky"])


def test_halves_are_by_file_number(data_dir):
    folder = data_dir / "Stimuli" / "Action"
    for old, new in (("001", "100"), ("002", "20"), ("003", "9")):
        (folder / f"{old}.jpg").rename(folder / f"{new}.jpg")
    (folder / "006.jpg").unlink()
    (folder / ".004.jpg").write_bytes(b"left behind by another system")
    (folder / "Thumbs.db").write_bytes(b"x")
    images = Cat2000(data_dir, ["Action"]).images
    assert [image.stem for image in images] == ["004", "005", "9", "20", "100"]
    assert [image.in_first_half for image in images] == [True, True, False, False, False]


def test_grey_images_come_as_three_equal_channels(data_dir):
    image = next(image for image in Cat2000(data_dir).images if image.category == "Art")
    pixels = image.read_image()
    assert (pixels.shape, pixels.dtype) == ((108, 192, 3), np.uint8)
    assert (pixels == pixels[..., :1]).all()


def test_grey_bars_are_part_of_the_image(data_dir):
    image = next(image for image in Cat2000(data_dir).images if image.name == "Action/006")
    pixels = image.read_image()
    assert pixels.shape == (108, 192, 3)
    assert abs(pixels[:, :25].astype(int) - 126).max() <= 8


def test_resized_images_are_pillows(data_dir):
    image = _first(data_dir)
    expected = Image.open(image.image_path).convert("RGB").resize((96, 54), Image.BILINEAR)
    np.testing.assert_array_equal(image.read_image(54, 96), expected)


def test_exif_rotation_is_not_applied(data_dir):
    # Fixations are in the frame of the stored pixels.
    image = _first(data_dir)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(image.image_path) as picture:
        picture.save(image.image_path, exif=exif)
    assert image.read_size() == (108, 192)
    assert image.read_image().shape == (108, 192, 3)


def test_fixations_and_human_map(data_dir):
    image = _first(data_dir)
    expected = scipy.io.loadmat(image.fixations_path)["fixLocs"]
    np.testing.assert_array_equal(image.read_fixations().to_map(), expected > 0)
    human = image.read_human_map()
    assert human.shape == (108, 192)
    assert human[expected > 0].mean() > 3 * human.mean()


@pytest.mark.parametrize("convert", [scipy.sparse.csc_matrix, np.float64, lambda x: x > 0])
def test_other_ways_to_store_the_same_fixations(data_dir, convert):
    image = _first(data_dir)
    expected = scipy.io.loadmat(image.fixations_path)["fixLocs"]
    scipy.io.savemat(image.fixations_path, {"fixLocs": convert(expected)})
    np.testing.assert_array_equal(image.read_fixations().to_map(), expected > 0)


def _hdf5(path):
    # The first 128 bytes of every MATLAB 7.3 file end so.
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    path.write_bytes(head + b"\x00" * 400)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b""), "not a readable MATLAB file"),
        (lambda path: path.write_bytes(b"not a mat file" * 50), "not a readable MATLAB file"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "not a readable MATLAB file"),
        (_hdf5, "MATLAB 7.3"),
        (
            lambda path: scipy.io.savemat(path, {"points": np.eye(2)}),
            "fixLocs; the file has points",
        ),
        (lambda path: scipy.io.savemat(path, {"fixLocs": "text"}), "001.mat: "),
        (lambda path: scipy.io.savemat(path, {"fixLocs": np.zeros((108, 192))}), "no fixations"),
        (
            lambda path: scipy.io.savemat(path, {"fixLocs": np.ones((108, 192))}),
            "every pixel is fixated",
        ),
        (
            lambda path: scipy.io.savemat(path, {"fixLocs": np.ones((192, 108))}),
            "108x192 pixels, but the image .*001.jpg has 192x108",
        ),
    ],
)
def test_fixation_files_that_cannot_be_used_are_named(data_dir, damage, message):
    image = _first(data_dir)
    damage(image.fixations_path)
    with pytest.raises(UserError, match=message) as caught:
        image.read_fixations()
    assert str(image.fixations_path) in str(caught.value)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b"not an image"), "not a readable image"),
        (lambda path: path.write_bytes(path.read_bytes()[:800]), "not a readable image"),
        (lambda path: Image.new("L", (191, 108), 9).save(path), "191x108 pixels, but the image"),
        (lambda path: Image.new("L", (192, 108), 9).save(path), "is the same everywhere"),
    ],
)
def test_human_maps_that_cannot_be_used_are_named(data_dir, damage, message):
    image = _first(data_dir)
    damage(image.human_map_path)
    with pytest.raises(UserError, match=message) as caught:
        image.read_human_map()
    assert str(image.human_map_path) in str(caught.value)


@pytest.mark.parametrize(
    "kind, suffix", [("Stimuli", "JPG"), ("FIXATIONLOCS", "MAT"), ("FIXATIONMAPS", "Jpg")]
)
def test_suffixes_of_either_case_are_found(data_dir, kind, suffix):
    for path in (data_dir / kind / "Action").glob("004.*"):
        path.rename(path.with_suffix(f".{suffix}"))
    image = Cat2000(data_dir).images[3]
    assert image.name == "Action/004" and image.in_first_half is False
    assert image.read_image().shape == (108, 192, 3)
    assert len(image.read_fixations()) and image.read_human_map().shape == (108, 192)


def test_of_two_suffixes_the_usual_one_counts(data_dir):
    folder = data_dir / "FIXATIONMAPS" / "Action"
    for suffix in ("JPG", "png"):
        (folder / f"004.{suffix}").write_bytes(b"not an image")
    assert Cat2000(data_dir).images[3].human_map_path == folder / "004.jpg"


def test_damaged_images_are_named(data_dir):
    image = _first(data_dir)
    image.image_path.write_bytes(image.image_path.read_bytes()[:800])
    with pytest.raises(UserError, match="001.jpg: not a readable image"):
        image.read_image()


def test_a_directory_that_is_not_cat2000(data_dir):
    with pytest.raises(UserError, match="no folder Stimuli; expected cat2000's trainSet"):
        Cat2000(data_dir.parent)
    for folder in (data_dir / "Stimuli").iterdir():
        folder.rename(data_dir / folder.name)
    with pytest.raises(UserError, match="no categories with images"):
        Cat2000(data_dir)
