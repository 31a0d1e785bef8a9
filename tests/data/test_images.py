"""Picture files of all kinds become RGB, and damaged ones are named."""

import numpy as np
import pytest
from PIL import Image

from sact_tf.data.images import decode_image, is_image_name, read_image
from sact_tf.errors import UserError
from tests.data.picture_files import smooth_picture, truncate, write_picture


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".ppm"])
def test_exact_formats(tmp_path, extension):
    image = read_image(write_picture(tmp_path / f"a{extension}"))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, smooth_picture())


@pytest.mark.parametrize("extension", [".jpg", ".webp", ".JPEG"])
def test_lossy_formats(tmp_path, extension):
    image = read_image(write_picture(tmp_path / f"a{extension}"))
    assert np.abs(image.astype(int) - smooth_picture()).max() < 25


def test_grey(tmp_path):
    grey = smooth_picture()[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.stack([grey] * 3, axis=2))


def test_one_bit(tmp_path):
    black_white = smooth_picture()[..., 0] > 128
    Image.fromarray(black_white).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 1], black_white * 255)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    grey = smooth_picture()[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], grey)


def test_transparency_is_laid_on_white(tmp_path):
    picture = np.dstack([smooth_picture(), np.full([24, 32], 255, np.uint8)])
    picture[:4, :, 3] = 0
    Image.fromarray(picture).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert (image[:4] == 255).all()
    np.testing.assert_array_equal(image[4:], smooth_picture()[4:])


def test_palette_with_and_without_a_transparent_colour(tmp_path):
    indices = np.zeros([4, 6], np.uint8)
    indices[:, 3:] = 1
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.png", transparency=0)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png")[0, [0, 5]], [[10, 20, 30], [200, 100, 50]]
    )
    np.testing.assert_array_equal(
        read_image(tmp_path / "b.png")[0, [0, 5]], [[255] * 3, [200, 100, 50]]
    )


def test_cmyk(tmp_path):
    Image.fromarray(smooth_picture()).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    image = read_image(tmp_path / "a.jpg")
    assert np.abs(image.astype(int) - smooth_picture()).max() < 12


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (6, lambda x: np.rot90(x, -1)),
        (8, lambda x: np.rot90(x, 1)),
    ],
)
def test_orientation_of_the_camera(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth_picture()).save(path, exif=exif, quality=98)
    wanted = turn(smooth_picture())
    image = read_image(path)
    assert image.shape == wanted.shape
    assert np.abs(image.astype(int) - wanted).max() < 12
    assert decode_image(path.read_bytes(), "x", apply_orientation=False).shape == (24, 32, 3)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (5, 4), color) for color in ((250, 0, 0), (0, 0, 250))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".webp", ".gif", ".tiff"])
def test_truncated(tmp_path, extension):
    path = truncate(write_picture(tmp_path / f"picture of mine{extension}", 100, 100))
    with pytest.raises(UserError, match="picture of mine.*not a readable image"):
        read_image(path)


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "empty"), (b"this is no picture", "no image format")]
)
def test_no_image(tmp_path, data, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"a.jpg: .*{message}"):
        read_image(path)


def test_missing(tmp_path):
    with pytest.raises(UserError, match="b.jpg: cannot be read .No such file"):
        read_image(tmp_path / "b.jpg")


def test_image_names():
    assert is_image_name("a.JPG") and is_image_name("b.c.webp")
    assert not is_image_name(".hidden.jpg") and not is_image_name("a.txt")
    assert not is_image_name("jpg")
