"""How often a JPEG file goes over its picture.

Every scan of a progressive file visits all pixels, and may be a few bytes long.

Reference: ITU-T T.81, annex B.
"""

import re

from sact_tf.images.limits import DecodingLimits, LimitExceeded

JPEG_START = b"\xff\xd8"
# Compressed pixels have no such bytes. Restart markers among them, and what a decoder skips as
# unknown, have no length that could hide what follows.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xef\xfe]")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA


def check_jpeg(data: bytes, limits: DecodingLimits) -> None:
    """Counts segments and scans as a decoder meets them, without decoding.

    Raises:
        LimitExceeded: there are too many.
    """
    position, segments, scans = len(JPEG_START), 0, 0
    while found := _MARKER.search(data, position):
        marker, position = data[found.end() - 1], found.end()
        if marker == _EOI:
            break
        if marker == _SOI:
            continue
        segments += 1
        scans += marker == _SOS
        limits.check_parts(segments, "JPEG segments")
        if scans > limits.scans:
            raise LimitExceeded(f"has more than the {limits.scans} JPEG scans allowed")
        position += int.from_bytes(data[position : position + 2], "big")
