"""Images decoded in a graph against those of the training pipeline."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sact_tf.data.images import decode_image as decode_with_pillow
from sact_tf.serving.export.image_decoding import decode_image, exif_orientation
from tests.serving.models import encode, pixels

_decode = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)])


def _transparent():
    alpha = np.linspace(0, 255, 24 * 30).reshape(24, 30, 1).astype(np.uint8)
    return Image.fromarray(np.concatenate([pixels(), alpha], axis=2))


def _animation():
    frames = [Image.fromarray(pixels(seed=seed)).quantize(16) for seed in (1, 2)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


PICTURES = {
    "jpeg": encode(pixels(), "JPEG"),
    "jpeg, progressive": encode(pixels(), "JPEG", progressive=True, quality=30),
    "jpeg, colours of half size": encode(pixels(33, 21), "JPEG", subsampling=2),
    "jpeg, grey": encode(pixels()[..., 0], "JPEG"),
    "png": encode(pixels()),
    "png, grey": encode(pixels()[..., 0]),
    "png, palette": encode(Image.fromarray(pixels()).quantize(16)),
    "png, palette and transparent": encode(
        Image.fromarray(pixels()).quantize(4), transparency=bytes([0, 90, 255, 200])
    ),
    "png, one transparent colour": encode(
        pixels(), transparency=tuple(int(value) for value in pixels()[0, 0])
    ),
    "png, transparent": encode(_transparent()),
    "png, 16 bit": encode(Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257)),
    "gif, animated": _animation(),
    "bmp": encode(pixels(), "BMP"),
    "one pixel": encode(pixels(1, 1)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_those_of_the_training_pipeline(name):
    expected = decode_with_pillow(PICTURES[name], name)
    received = _decode(PICTURES[name]).numpy()
    assert received.shape == expected.shape
    tolerance = 1 if "transparent" in name else 0
    assert np.abs(received.astype(int) - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
def test_the_cameras_orientation_is_applied(orientation, endian):
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    data = encode(pixels(16, 32), "JPEG", exif=exif.tobytes(), quality=95)
    assert int(tf.function(exif_orientation)(data)) == orientation
    np.testing.assert_array_equal(_decode(data), decode_with_pillow(data, "picture"))


@pytest.mark.parametrize("length", [13, 20, 24, 30, 36])
def test_exif_that_ends_early_means_upright(length):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(pixels(), "JPEG", exif=exif.tobytes())
    start = data.index(b"Exif") - 4
    cut = data[: start + length] + b"\xff" * 64
    assert int(exif_orientation(tf.constant(cut))) in (1, 6)
    lying = data.replace(b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert int(exif_orientation(tf.constant(lying))) == 1


@pytest.mark.parametrize(
    "data", [b"", b"no image", PICTURES["png"][:100], PICTURES["jpeg"][:200], b"\x89PNG"]
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        _decode(data)
