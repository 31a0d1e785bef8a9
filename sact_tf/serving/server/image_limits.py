"""Encoded images that clients send: how large they are, and what the graph gets of them."""

import concurrent.futures
import io
import os
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.images.decoding import FORMATS, decode_image
from sact_tf.serving.server.errors import bad_request


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
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
    # Pillow warns or raises by a limit of its own, and raises whatever it meets in damaged files.
    except Image.DecompressionBombError:
        raise bad_request(f"an image has more than the {max_pixels} pixels allowed") from None
    except Exception:
        raise bad_request(f"an image is damaged, or none of {', '.join(FORMATS)}") from None
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


def plain_images(images: np.ndarray) -> np.ndarray:
    """Decodes images of any format as training does, and encodes them again as 24-bit PNG.

    A graph that has left Python decodes fewer formats, or, if it is not one of this package's,
    some of them differently.

    Args:
        images: dtype object, bytes.

    Returns:
        Likewise.

    Raises:
        RequestError: one of them is damaged.
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        plain = list(pool.map(_plain, images.ravel()))
    result = np.empty(len(plain), object)
    result[:] = plain
    return result.reshape(images.shape)


def _plain(data: bytes) -> bytes:
    try:
        pixels = decode_image(data, "an image", formats=FORMATS)
    except UserError as error:
        raise bad_request(str(error)) from None
    buffer = io.BytesIO()
    # It is read again at once: compressing it would be work for nothing.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
