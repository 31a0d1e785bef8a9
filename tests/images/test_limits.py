"""What one file may cost: frames, scans, parts, pixels, time and memory."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.images.decoding import FORMATS, decode_image, stored_size
from sact_tf.images.limits import OWN_FILES, DecodingLimits, LimitExceeded
from sact_tf.images.tiff import check_tiff
from tests.images import costly_files

_SMALL = DecodingLimits(pixels=1000, side=200, scans=100, parts=65536, seconds=5.0)


def _encode(image, kind="PNG", **kwargs):
    buffer = io.BytesIO()
    image.save(buffer, kind, **kwargs)
    return buffer.getvalue()


@pytest.mark.parametrize("limits", [_SMALL, OWN_FILES])
def test_of_several_frames_the_first_alone_is_decoded(limits):
    data = costly_files.gif((10, 10), (10, 10), (4000, 4000))
    assert stored_size(data, "a", FORMATS, limits) == (10, 10)
    np.testing.assert_array_equal(decode_image(data, "a", limits=limits), np.zeros([10, 10, 3]))


def test_a_first_frame_beyond_the_canvas_counts():
    data = costly_files.gif((10, 10), (40, 50))
    with pytest.raises(UserError, match="a.gif: has 40 x 50 pixels, more than the 1000 allowed"):
        decode_image(data, "a.gif", limits=_SMALL)
    assert decode_image(data, "a.gif").shape == (50, 40, 3)


REFUSED = {
    "scans": (costly_files.jpeg_of_scans(16, 100), "has more than the 100 JPEG scans"),
    "scans after filling bytes": (
        costly_files.jpeg_of_scans(16, 100, b"\xff\xff"),
        "more than the 100 JPEG scans",
    ),
    "scans after what looks like a segment": (
        costly_files.jpeg_of_scans(16, 100, b"\xff\x02\xff\xd0\xff\x01\xff\xf0"),
        "more than the 100 JPEG scans",
    ),
    "segments": (costly_files.jpeg_of_segments(66_000), "more than the 65536 JPEG segments"),
    "chunks": (costly_files.png_of_chunks(66_000), "more than the 65536 PNG chunks"),
    "numbers": (
        costly_files.tiff(8, 8, (273, 4, 66_000, 8), (278, 4, 1, 1)),
        "more than the 65536 numbers of the TIFF tag 273",
    ),
    "numbers, BigTIFF": (
        costly_files.big_tiff(8, 8, (273, 16, 66_000, 8), (278, 4, 1, 1)),
        "more than the 65536 numbers of the TIFF tag 273",
    ),
    "tile": (
        costly_files.tiff(8, 8, (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8)),
        "its tiles have 60000 x 60000 pixels",
    ),
    "tile, BigTIFF": (
        costly_files.big_tiff(8, 8, (322, 3, 1, 60_000), (323, 3, 1, 60_000), (324, 4, 1, 8)),
        "its tiles have 60000 x 60000 pixels",
    ),
    "pixels": (_encode(Image.new("L", (40, 30))), "has 40 x 30 pixels, more than the 1000"),
    "side": (_encode(Image.new("1", (300, 1))), "has 300 x 1 pixels, more than the 200 allowed on"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_more_than_is_allowed_is_refused_before_decoding(name):
    data, message = REFUSED[name]
    for read in (decode_image, stored_size):
        with pytest.raises(UserError, match=f"^a file: .*{message}"):
            read(data, "a file", formats=FORMATS, limits=_SMALL)


def test_scans_are_bounded_in_own_files_too():
    with pytest.raises(UserError, match="1000 JPEG scans"):
        decode_image(costly_files.jpeg_of_scans(16, 3000), "a")


def test_what_real_encoders_write_is_allowed():
    data = costly_files.jpeg_of_scans(16, 60)
    assert 60 < costly_files.scans(data) <= 100
    assert decode_image(data, "a", limits=_SMALL).shape == (16, 16, 3)
    # Bytes of a comment are no scans, wherever they look like some.
    comment = _encode(Image.new("RGB", (16, 16)), "JPEG", comment=b"\xff\xda\0\2" * 500)
    assert decode_image(comment, "a", limits=_SMALL).shape == (16, 16, 3)
    after = data + costly_files.jpeg_of_scans(16, 200)
    assert decode_image(after, "a", limits=_SMALL).shape == (16, 16, 3)
    check_tiff(costly_files.tiff(8, 8, (273, 4, 60_000, 8), (65000, 1, 70_000, 0)), _SMALL)
    tile = _encode(Image.new("L", (40, 20)), "TIFF", tiffinfo={322: 16, 323: 16})
    assert decode_image(tile, "a", limits=_SMALL).shape == (20, 40, 3)


@pytest.mark.parametrize(
    "data", [costly_files.pgm_of_odd_range(2000), costly_files.gif_of_comments(3_000_000)]
)
def test_time_is_bounded(data):
    with pytest.raises(UserError, match=r"takes more than the 0\.1 s of computing allowed"):
        decode_image(data, "a", limits=DecodingLimits(seconds=0.1))


def test_the_same_bytes_are_not_read_for_ever():
    stream = _SMALL.stream(bytes(3 << 20))
    with pytest.raises(LimitExceeded, match="again and again"):
        for _ in range(5):
            stream.seek(0)
            assert len(stream.read()) == 3 << 20
    assert type(OWN_FILES.stream(b"x")) is io.BytesIO


def test_pillows_own_limit_is_named_as_what_it_is(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    data = _encode(Image.new("L", (40, 30)))
    for limits, most in ((OWN_FILES, 100), (DecodingLimits(pixels=60), 60)):
        with pytest.raises(UserError, match=f"a: has more than the {most} pixels allowed"):
            decode_image(data, "a", limits=limits)


@pytest.mark.parametrize("kind", ["grey of 16 bits", "RGB and alpha", "palette with alpha"])
def test_memory_for_one_pixel_is_bounded(kind):
    ramp = np.arange(3_000_000, dtype=np.uint32).reshape(1500, 2000)
    if kind == "grey of 16 bits":
        data = _encode(Image.fromarray((ramp % 65536).astype(np.uint16)))
    elif kind == "RGB and alpha":
        rgba = np.stack([ramp % 251, ramp % 83, ramp % 31, ramp % 256], axis=2)
        data = _encode(Image.fromarray(rgba.astype(np.uint8)), compress_level=1)
    else:
        image = Image.fromarray((ramp % 256).astype(np.uint8)).convert("P")
        data = _encode(image, transparency=bytes(range(256)))
    decode_image(data, "a")
    # Pillow's own pixels are not seen here: at most four bytes each.
    tracemalloc.start()
    try:
        decode_image(data, "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (peak - 2 * len(data)) / ramp.size < 14
