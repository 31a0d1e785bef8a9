"""What a PNG file says beside its pixels, and whether it is whole.

Pillow does not look at the checksums of compressed pixels: a flipped bit would give other pixels
without a word.

Reference: https://www.w3.org/TR/png-3/
"""

import zlib
from typing import NamedTuple

from sact_tf.images.limits import DecodingLimits

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_HEADER, _CHECKSUM = 8, 4


class PngHeader(NamedTuple):
    """What stands in a file's chunks.

    Attributes:
        bits: of one sample or palette index: 1, 2, 4, 8 or 16.
        color_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        transparent: the content of tRNS, or None: alpha values of a palette, else the one
            transparent colour, 16 bits a sample.
        exif: the content of eXIf, or None.
    """

    bits: int
    color_type: int
    transparent: bytes | None
    exif: bytes | None


def read_png_header(data: bytes, limits: DecodingLimits) -> PngHeader:
    """Reads the chunks of a PNG file and verifies their checksums.

    Raises:
        ValueError: a checksum is wrong, or the file ends early.
        LimitExceeded: there are too many chunks.
    """
    position, chunks = len(SIGNATURE), 0
    found: dict[bytes, tuple[int, int]] = {}
    while b"IEND" not in found:
        chunks += 1
        limits.check_parts(chunks, "PNG chunks")
        start = position + _CHUNK_HEADER
        length = int.from_bytes(data[position : position + 4], "big")
        end = start + length
        if end + _CHECKSUM > len(data):
            raise ValueError("the file is truncated")
        name = data[position + 4 : start]
        # A view: of large files no part is copied.
        checksum = zlib.crc32(memoryview(data)[position + 4 : end])
        if checksum != int.from_bytes(data[end : end + _CHECKSUM], "big"):
            raise ValueError(f"the checksum of chunk {name!r} at byte {position} is wrong")
        found.setdefault(name, (start, end))
        position = end + _CHECKSUM

    def content(name):
        return data[slice(*found[name])] if name in found else None

    header = content(b"IHDR") or b""
    if len(header) != 13:
        raise ValueError("it has no header")
    return PngHeader(header[8], header[9], content(b"tRNS"), content(b"eXIf"))
