"""The bytes of a picture file to uint8 RGB.

Training, prediction and this package's server decode here; `sact_tf.serving.export.image_decoding`
does the same in graphs that leave Python. The rules:

- Samples of 16 bits give their upper 8, those of 1, 2 and 4 bits are spread over 0 ... 255.
- Transparency is laid on white, rounded to the nearest value.
- The picture is turned as its EXIF block says (`sact_tf.images.orientation`).
- Of several frames or pages the first counts.
"""

import io
import logging
from typing import NamedTuple

import numpy as np

from sact_tf.errors import UserError
from sact_tf.images.orientation import as_stored, exif_orientation, upright
from sact_tf.images.png import SIGNATURE, PngHeader, read_png_header

# Pillow's names of the formats that files of `sact_tf.data.images.EXTENSIONS` have.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO = 0
_DARK = 4096

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
    data: bytes, source: str, apply_orientation: bool = True, formats: tuple[str, ...] | None = None
) -> np.ndarray:
    """Decodes the bytes of an image file; see the module.

    Args:
        data: the bytes of the file.
        source: where they come from, for messages.
        apply_orientation: whether to turn the picture as its EXIF data says.
        formats: Pillow's names of the formats to take; all that it reads by default.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UserError: the bytes are not a whole picture. The message begins with `source`.
    """
    image = decode_stored(data, source, formats)
    if not apply_orientation:
        if image.orientation != 1:
            _say_once(
                "turned",
                f"{source}: is used as stored, though EXIF says that it is turned (orientation "
                f"{image.orientation}); predictions on image files turn it",
            )
        return image.pixels
    return np.ascontiguousarray(upright(image.pixels, image.orientation))


def decode_stored(data: bytes, source: str, formats: tuple[str, ...] | None = None) -> DecodedImage:
    """Decodes without turning, and says how to turn; see `decode_image`."""
    from PIL import Image

    if not data:
        raise UserError(f"{source}: the image is empty (0 bytes)")
    try:
        png = read_png_header(data) if data.startswith(SIGNATURE) else None
        with Image.open(io.BytesIO(data), formats=formats) as image:
            tags = dict(getattr(image, "tag_v2", {}))
            image.load()
            # Some versions of Pillow turn TIFF files while they load them, and forget the tag.
            turned = _TIFF_ORIENTATION in tags and _TIFF_ORIENTATION not in getattr(
                image, "tag_v2", {}
            )
            low_bytes = _low_bytes(data) if png and _has_wide_transparent_color(png) else None
    except MemoryError:
        raise
    # Pillow's decoders raise whatever they meet in a damaged file: SyntaxError, struct.error, ...
    except Exception as error:
        reason = "no image format that is known" if "cannot identify" in str(error) else error
        raise UserError(f"{source}: not a readable image ({reason})") from error
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
    grey = np.asarray(image).astype(np.int64)
    if grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
        raise ValueError("whole numbers of more than 16 bits have no known range")
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
    alpha = alpha.astype(np.uint16)[..., None]
    # At most 255 * 255 + 127, which has room in 16 bits.
    return ((pixels * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _say_once(topic: str, message: str) -> None:
    """Warns of the first picture of a kind: every epoch decodes all of them again."""
    if _said.setdefault(topic, message) is message:  # atomic: many threads decode
        _logger.warning("%s (said for one image only)", message)
