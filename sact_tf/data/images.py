"""Reads picture files of any common kind into uint8 RGB."""

import os

import numpy as np

from sact_tf.errors import UserError
from sact_tf.images.decoding import decode_image

EXTENSIONS = frozenset(
    ".bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image's, and is not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file.

    Grey, palette, CMYK, 16-bit and transparent pictures (laid on white) become RGB; the orientation
    that a camera has written into the file is applied; of an animation the first frame is taken
    (`sact_tf.images.decoding`).

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
