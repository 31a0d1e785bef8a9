"""Reads picture files of any common kind into uint8 RGB."""

import io
import os

import numpy as np

from sact_tf.errors import UserError

EXTENSIONS = frozenset(
    ".bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image's, and is not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file.

    Grey, palette, CMYK, 16-bit and transparent pictures (laid on white) become RGB; the orientation
    that a camera has written into the file is applied; of an animation the first frame is taken.

    Args:
        path: a JPEG, PNG, BMP, GIF, TIFF, WebP or other file that Pillow reads.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UserError: the file cannot be read, or is not a whole picture. The message names it.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return decode_image(data, path)


def decode_image(data: bytes, source: str, apply_orientation: bool = True) -> np.ndarray:
    """Decodes the bytes of an image file; see `read_image`.

    Args:
        data: the bytes of the file.
        source: where they come from, for messages.
        apply_orientation: whether to turn the picture as its EXIF data says.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UserError: the bytes are not a whole picture. The message begins with `source`.
    """
    from PIL import Image, ImageOps

    if not data:
        raise UserError(f"{source}: the image is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image) if apply_orientation else image)
    except MemoryError:
        raise
    # Pillow's decoders raise whatever they meet in a damaged file: SyntaxError, struct.error, ...
    except Exception as error:
        reason = "no image format that is known" if "cannot identify" in str(error) else error
        raise UserError(f"{source}: not a readable image ({reason})") from error


def _to_rgb(image) -> np.ndarray:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which `convert` would clip at 255 instead of scaling.
        grey = np.clip(np.asarray(image), 0, 65535)
        return np.repeat((grey // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating point pixels have no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))
