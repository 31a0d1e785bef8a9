"""Encoded images that clients send: how large they are, and what the graph gets of them."""

import concurrent.futures
import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.images.decoding import FORMATS, decode_image, stored_size
from sact_tf.images.limits import DecodingLimits
from sact_tf.serving.server.errors import bad_request

_SOURCE = "an image"


def client_limits(pixels: int) -> DecodingLimits:
    """What decoding one image of a client may cost.

    libjpeg goes over 16 megapixels in a hundredth of a second for one scan; encoders write about
    ten. Where a file has too many small parts for Pillow's Python code, the time ends it.
    """
    return DecodingLimits(pixels=pixels, side=65535, scans=100, parts=65536, seconds=5.0)


def image_size(data: bytes, limits: DecodingLimits) -> tuple[int, int]:
    """Reads the size of an image from its header; no pixel is decoded.

    Args:
        data: the file.
        limits: what it may cost.

    Returns:
        (height, width).

    Raises:
        RequestError: no such image, or too large a one. A few bytes can claim any size.
    """
    try:
        return stored_size(data, _SOURCE, FORMATS, limits)
    except UserError as error:
        raise bad_request(str(error)) from None


def image_sizes(images: Sequence[bytes], limits: DecodingLimits) -> list[tuple[int, int]]:
    """`image_size` of each image of a request, bounded together.

    Raises:
        RequestError: as `image_size`, or all of them, padded to the largest, are too many pixels.
    """
    sizes = [image_size(data, limits) for data in images]
    padded = len(sizes) * max(h for h, _ in sizes) * max(w for _, w in sizes) if sizes else 0
    if padded > limits.pixels and len(sizes) > 1:
        raise bad_request(
            f"the images of the request have {padded} pixels when padded to one size, more than "
            f"the {limits.pixels} allowed: send fewer at once"
        )
    return sizes


def plain_images(images: np.ndarray, limits: DecodingLimits) -> np.ndarray:
    """Decodes images of any format as training does, and encodes them again as 24-bit PNG.

    A graph that has left Python decodes fewer formats, or, if it is not one of this package's,
    some of them differently, and knows no limits.

    Args:
        images: dtype object, bytes.
        limits: what each may cost.

    Returns:
        Likewise.

    Raises:
        RequestError: one of them is damaged, or costs more.
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        plain = list(pool.map(lambda data: _plain(data, limits), images.ravel()))
    result = np.empty(len(plain), object)
    result[:] = plain
    return result.reshape(images.shape)


def _plain(data, limits):
    try:
        pixels = decode_image(data, _SOURCE, formats=FORMATS, limits=limits)
    except UserError as error:
        raise bad_request(str(error)) from None
    buffer = io.BytesIO()
    # It is read again at once: compressing it would be work for nothing.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
