"""Looks at encoded images before anything decodes them."""

import io
import warnings
from collections.abc import Sequence

from PIL import Image

from sact_tf.serving.server.errors import bad_request

# What TensorFlow decodes, and no other of Pillow's many readers.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP")


def image_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Reads the size of an image from its header; no pixel is decoded.

    Args:
        data: the file.
        max_pixels: largest width * height.

    Returns:
        (height, width).

    Raises:
        RequestError: no such image, or too large a one. A few bytes can claim any size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
    # Pillow warns or raises by a limit of its own, and raises whatever it meets in damaged files.
    except Image.DecompressionBombError:
        raise bad_request(f"an image has more than the {max_pixels} pixels allowed") from None
    except Exception:
        raise bad_request(f"an image is damaged, or none of {', '.join(_FORMATS)}") from None
    if width < 1 or height < 1:
        raise bad_request("an image has no pixels")
    if width * height > max_pixels:
        raise bad_request(
            f"an image has {width} x {height} pixels, more than the {max_pixels} allowed"
        )
    return height, width


def image_sizes(images: Sequence[bytes], max_pixels: int) -> list[tuple[int, int]]:
    """`image_size` of each image of a request, bounded together.

    Raises:
        RequestError: as `image_size`, or all of them, padded to the largest, are too many pixels.
    """
    sizes = [image_size(data, max_pixels) for data in images]
    padded = len(sizes) * max(h for h, _ in sizes) * max(w for _, w in sizes) if sizes else 0
    if padded > max_pixels and len(sizes) > 1:
        raise bad_request(
            f"the images of the request have {padded} pixels when padded to one size, more than "
            f"the {max_pixels} allowed: send fewer at once"
        )
    return sizes
