"""The bytes of a picture file to uint8 RGB.

Training, prediction and this package's server decode here; `sact_tf.serving.export.image_decoding`
does the same in graphs that leave Python. The rules:

- Samples of 16 bits give their upper 8, those of 1, 2 and 4 bits are spread over 0 ... 255.
- Transparency is laid on white, rounded to the nearest value.
- The picture is turned as its EXIF block says (`sact_tf.images.orientation`).
- Of several frames or pages the first counts; no other is decoded.
"""

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sact_tf.errors import UserError
from sact_tf.images.jpeg import JPEG_START, check_jpeg
from sact_tf.images.limits import OWN_FILES, DecodingLimits, LimitExceeded
from sact_tf.images.orientation import as_stored, exif_orientation, upright
from sact_tf.images.png import SIGNATURE, PngHeader, read_png_header
from sact_tf.images.tiff import TIFF_STARTS, check_tiff

# Pillow's names of the formats that files of `sact_tf.data.images.EXTENSIONS` have.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO = 0
_QUARTER_TURNS = (5, 6, 7, 8)
_DARK = 4096
_PIXELS_AT_ONCE = 1 << 20

_UNKNOWN = "no image format that is known"

_logger = logging.getLogger(__name__)
_said: dict[str, str] = {}


class DecodedImage(NamedTuple):
    """A picture as its file stores it.

    Attributes:
        pixels: uint8 [height, width, 3].
        orientation: how to turn it, see `sact_tf.images.orientation`.
    """

    pixels: np.ndarray
    orientation: int


def decode_image(
    data: bytes,
    source: str,
    apply_orientation: bool = True,
    formats: tuple[str, ...] | None = None,
    limits: DecodingLimits = OWN_FILES,
) -> np.ndarray:
    """Decodes the bytes of an image file; see the module.

    Args:
        data: the bytes of the file.
        source: where they come from, for messages.
        apply_orientation: whether to turn the picture as its EXIF data says.
        formats: Pillow's names of the formats to take; all that it reads by default.
        limits: what the file may cost.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UserError: the bytes are not a whole picture, or cost more. The message begins with
            `source`.
    """
    image = decode_stored(data, source, formats, limits)
    if not apply_orientation:
        if image.orientation != 1:
            _say_once(
                "turned",
                f"{source}: is used as stored, though EXIF says that it is turned (orientation "
                f"{image.orientation}); predictions on image files turn it",
            )
        return image.pixels
    return np.ascontiguousarray(upright(image.pixels, image.orientation))


def decode_stored(
    data: bytes,
    source: str,
    formats: tuple[str, ...] | None = None,
    limits: DecodingLimits = OWN_FILES,
) -> DecodedImage:
    """Decodes without turning, and says how to turn; see `decode_image`."""
    with _opened(data, source, formats, limits) as (image, png):
        tags = _tags(image)
        image.load()
        limits.check_size(*image.size)
        # Some versions of Pillow turn TIFF files while they load them, and forget the tag.
        turned = _TIFF_ORIENTATION in tags and _TIFF_ORIENTATION not in _tags(image)
        low_bytes = _low_bytes(data) if png and _has_wide_transparent_color(png) else None
    try:
        pixels = _to_rgb(image, tags, png, low_bytes, source)
    except ValueError as error:
        raise UserError(f"{source}: not a readable image ({error})") from error
    if _TIFF_ORIENTATION in tags:
        orientation = tags[_TIFF_ORIENTATION]
        orientation = orientation if orientation in range(1, 9) else 1
        return DecodedImage(as_stored(pixels, orientation) if turned else pixels, orientation)
    exif = png.exif if png else image.info.get("exif")
    return DecodedImage(pixels, exif_orientation(exif))


def stored_size(
    data: bytes, source: str, formats: tuple[str, ...] | None, limits: DecodingLimits
) -> tuple[int, int]:
    """`(height, width)` before turning, as the decoder reads it; no pixel is decoded.

    Args and Raises: see `decode_image`.
    """
    with _opened(data, source, formats, limits) as (image, _):
        return image.height, image.width


def shown_size(data: bytes, source: str) -> tuple[int, int]:
    """`(height, width)` as `decode_image` turns it; no pixel is decoded.

    Args and Raises: see `decode_image`.
    """
    with _opened(data, source, None, OWN_FILES) as (image, png):
        tags, exif = _tags(image), png.exif if png else image.info.get("exif")
        # Some versions of Pillow give the size of a TIFF file as it will have turned it.
        stored = getattr(image, "tag_v2", {})
        size = (
            stored.get(_TIFF_HEIGHT, image.height),
            stored.get(_TIFF_WIDTH, image.width),
        )
    orientation = tags.get(_TIFF_ORIENTATION, exif_orientation(exif))
    return size[::-1] if orientation in _QUARTER_TURNS else size


@contextlib.contextmanager
def _opened(data, source, formats, limits) -> Iterator[tuple[Any, PngHeader | None]]:
    """An image with its header read and checked; whatever goes wrong with it is a UserError."""
    from PIL import Image

    if not data:
        raise UserError(f"{source}: the image is empty (0 bytes)")
    try:
        png = None
        if data.startswith(SIGNATURE):
            png = read_png_header(data, limits)
        elif data.startswith(JPEG_START):
            check_jpeg(data, limits)
        elif data.startswith(TIFF_STARTS):
            check_tiff(data, limits)
        with Image.open(limits.stream(data), formats=formats) as image:
            limits.check_size(*image.size)
            yield image, png
    except MemoryError:
        raise
    except LimitExceeded as error:
        raise UserError(f"{source}: {error}") from None
    except Image.DecompressionBombError:
        most = min(limits.pixels, 2 * (Image.MAX_IMAGE_PIXELS or 0))
        raise UserError(f"{source}: has more than the {most} pixels allowed") from None
    # Pillow's decoders raise whatever they meet in a damaged file: SyntaxError, struct.error, ...
    except Exception as error:
        reason = str(error)
        if "cannot identify" in str(error):
            reason = f"damaged, or none of {', '.join(formats)}" if formats else _UNKNOWN
        raise UserError(f"{source}: not a readable image ({reason})") from error


def _tags(image) -> dict[int, Any]:
    """Those tags of a TIFF file that say how to read its pixels."""
    found = getattr(image, "tag_v2", {})
    wanted = (_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_ORIENTATION)
    return {tag: found[tag] for tag in wanted if tag in found}


def _to_rgb(image, tags, png: PngHeader | None, low_bytes, source: str) -> np.ndarray:
    color = None if png is None else _transparent_color(png)
    if image.mode.startswith("I"):
        grey = _sixteen_bits(image, tags, source)
        pixels = np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
        return pixels if color is None else _on_white(pixels, grey != color[0])
    if image.mode == "F":
        raise ValueError("floating point pixels have no known range")
    if image.mode in ("1", "L") and png is None and "transparency" in image.info:
        color = [image.info["transparency"]]
    if color is not None:
        pixels = np.asarray(image.convert("RGB"))
        if low_bytes is not None:
            wide = pixels.astype(np.uint16) << 8 | low_bytes
            return _on_white(pixels, (wide != color).any(axis=2))
        return _on_white(pixels, (pixels != color).any(axis=2))
    if image.mode in ("LA", "La", "P", "PA", "RGBA", "RGBa"):
        rgba = np.asarray(image.convert("RGBA"))
        return _on_white(rgba[..., :3], rgba[..., 3])
    return np.array(image.convert("RGB"))


def _sixteen_bits(image, tags, source: str) -> np.ndarray:
    """Grey pixels of more than 8 bits, as 0 ... 65535."""
    grey = np.asarray(image)
    if grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
        raise ValueError("whole numbers of more than 16 bits have no known range")
    grey = grey.astype(np.uint16)
    bits = tags.get(_TIFF_BITS, (16,))[0]
    if bits < 16:  # Pillow gives the samples of such a file as they are.
        grey = grey << (16 - bits)
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 65535 - grey
    elif bits >= 16 and 0 < grey.max(initial=0) < _DARK:
        _say_once(
            "dark",
            f"{source}: has 16 bits per pixel, but no value above {grey.max()} of 65535, and "
            "becomes nearly black; data of 10 or 12 bits must be scaled to 16 before",
        )
    return grey


def _transparent_color(png: PngHeader) -> list[int] | None:
    """The colour that tRNS makes transparent, as a sample of 8 or 16 bits has it."""
    if png.transparent is None or png.color_type not in (0, 2):
        return None
    samples = [png.transparent[i : i + 2] for i in range(0, len(png.transparent), 2)]
    if len(samples) != (1 if png.color_type == 0 else 3):
        raise ValueError(f"its tRNS has {len(png.transparent)} bytes")
    most = (1 << png.bits) - 1
    values = [int.from_bytes(sample, "big") & most for sample in samples]
    return values if png.bits >= 8 else [value * 255 // most for value in values]


def _has_wide_transparent_color(png: PngHeader) -> bool:
    return png.transparent is not None and (png.color_type, png.bits) == (2, 16)


def _low_bytes(data: bytes) -> np.ndarray:
    """The lower bytes of 16-bit RGB samples, which Pillow leaves out."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        # PNG's upper bytes come first; read as if the lower came first, they are exchanged.
        image.tile = [(*tile[:3], "RGB;16L") for tile in image.tile]  # type: ignore[misc]
        return np.asarray(image)


def _on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lays pixels on white; alpha uint8, or bool."""
    if alpha.dtype == bool:
        return np.where(alpha[..., None], pixels, np.uint8(255))
    if (alpha == 255).all():
        return np.array(pixels)
    result = np.empty_like(pixels)
    # In bands of rows: what is computed between takes several times the room of the picture.
    step = max(1, _PIXELS_AT_ONCE // alpha.shape[1])
    for start in range(0, len(alpha), step):
        rows = slice(start, start + step)
        weight = alpha[rows, :, None].astype(np.uint16)
        # At most 255 * 255 + 127, which has room in 16 bits.
        result[rows] = (pixels[rows] * weight + 255 * (255 - weight) + 127) // 255
    return result


def _say_once(topic: str, message: str) -> None:
    """Warns of the first picture of a kind: every epoch decodes all of them again."""
    if _said.setdefault(topic, message) is message:  # atomic: many threads decode
        _logger.warning("%s (said for one image only)", message)
