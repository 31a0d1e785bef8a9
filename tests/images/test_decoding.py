"""What a picture file may be, and what is said about one that is damaged or odd."""

import io
import logging

import numpy as np
import pytest
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.images import decoding
from sact_tf.images.decoding import decode_image, decode_stored
from sact_tf.images.orientation import as_stored, exif_orientation, upright


def _picture(height=20, width=30):
    return np.random.default_rng(0).integers(0, 256, [height, width, 3], np.uint8)


def _encode(image, kind="PNG", **kwargs):
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **kwargs)
    return buffer.getvalue()


def test_any_flipped_bit_of_a_png_is_found():
    data = _encode(_picture())
    for bit in np.random.default_rng(1).integers(0, 8 * len(data), 300):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UserError, match="a.png: not a readable image"):
            decode_image(bytes(flipped), "a.png")


def test_a_wrong_checksum_is_named():
    data = bytearray(_encode(_picture()))
    data[data.index(b"IDAT") + 40] ^= 1
    with pytest.raises(UserError, match="checksum of chunk b'IDAT' at byte 33 is wrong"):
        decode_image(bytes(data), "a.png")


@pytest.mark.parametrize("cut", [1, 4, 12, 20, 500])
def test_a_png_that_ends_early(cut):
    with pytest.raises(UserError, match="truncated"):
        decode_image(_encode(_picture())[:-cut], "a.png")


@pytest.mark.parametrize("most", [255, 1023, 4095])
def test_data_of_few_bits_in_sixteen_are_said_to_be_dark(most, caplog, monkeypatch):
    monkeypatch.setattr(decoding, "_said", {})
    grey = np.linspace(0, most, 600).reshape(20, 30).astype(np.uint16)
    with caplog.at_level(logging.WARNING):
        image = decode_image(_encode(grey), "scan.png")
        decode_image(_encode(grey), "other.png")
    assert image.max() == most // 256
    (record,) = caplog.records
    assert f"scan.png: has 16 bits per pixel, but no value above {most}" in record.getMessage()


@pytest.mark.parametrize("most", [0, 5000, 65535])
def test_other_pictures_of_sixteen_bits_are_not(most, caplog, monkeypatch):
    monkeypatch.setattr(decoding, "_said", {})
    decode_image(_encode(np.linspace(0, most, 600).reshape(20, 30).astype(np.uint16)), "a.png")
    assert caplog.records == []


def test_whole_numbers_without_a_range_are_refused():
    numbers = np.full([4, 5], 1 << 20, np.int32)
    for values in (numbers, -numbers):
        with pytest.raises(UserError, match="a.tif: .*no known range"):
            decode_image(_encode(Image.fromarray(values), "TIFF"), "a.tif")


def test_formats_can_be_restricted():
    data = _encode(_picture(), "ICO")
    decode_image(data, "a.ico")
    with pytest.raises(UserError, match="none of BMP, GIF"):
        decode_image(data, "a.ico", formats=decoding.FORMATS)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_pixels_and_how_to_turn_them(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exact = {"JPEG": {}, "WEBP": {"lossless": True}}.get(kind, {})
    stored = decode_stored(_encode(_picture(), kind, exif=exif, **exact), "a")
    assert stored.orientation == orientation and stored.pixels.shape == (20, 30, 3)
    if kind != "JPEG":
        np.testing.assert_array_equal(stored.pixels, _picture())
    turned = upright(stored.pixels, orientation)
    np.testing.assert_array_equal(as_stored(turned, orientation), stored.pixels)


def test_xmp_does_not_turn():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    assert decode_image(_encode(_picture(), "JPEG", xmp=xmp), "a").shape == (20, 30, 3)


@pytest.mark.parametrize(
    "block",
    [
        None,
        b"",
        b"II",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"XX*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0",
        b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0",
        b"II*\0\x08\0\0\0\xff\xff",
    ],
)
def test_exif_that_says_nothing(block):
    assert exif_orientation(block) == 1


def test_exif_of_both_orders_and_widths():
    assert exif_orientation(b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0") == 6
    assert exif_orientation(b"MM\0*\0\0\0\x08\0\1\1\x12\0\4\0\0\0\1\0\0\0\x08") == 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_the_size_that_is_shown_is_known_without_decoding(kind, orientation):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    data = _encode(_picture(), kind, exif=exif)
    shown = decode_image(data, "a").shape[:2]
    assert decoding.shown_size(data, "a") == shown
    assert (shown == (30, 20)) == (orientation in (6, 8))
