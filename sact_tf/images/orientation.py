"""How a camera was held, as EXIF says: 1 upright, 2 ... 8 mirrored or turned.

The EXIF block alone counts, where each format keeps it; what XMP or a comment says does not.

Reference: CIPA DC-008 (Exif 2.32), sections 4.5 and 4.6.4.
"""

import numpy as np

_TAG = 0x0112
_SHORT, _LONG = 3, 4
_NAME = b"Exif\0\0"


def exif_orientation(block: bytes | None) -> int:
    """The orientation in an EXIF block, 1 ... 8; 1 where it says none, or is damaged.

    Args:
        block: begins with a TIFF header, or with `Exif` and two zeros before it.
    """
    block = block or b""
    block = block[len(_NAME) :] if block.startswith(_NAME) else block
    order = {b"II": "little", b"MM": "big"}.get(block[:2])
    if order is None:
        return 1

    def number(position, length):
        part = block[position : position + length]
        return int.from_bytes(part, order) if len(part) == length else 0

    first = number(4, 4)
    for entry in range(first + 2, first + 2 + 12 * number(first, 2), 12):
        if number(entry, 2) == _TAG:
            lengths = {_SHORT: 2, _LONG: 4}
            found = number(entry + 8, lengths.get(number(entry + 2, 2), 0))
            return found if 1 <= found <= 8 else 1
        if entry >= len(block):
            break
    return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns stored pixels [height, width, C] as they are to be seen."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def as_stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `upright`."""
    # Turning by a quarter to the right and to the left are each other's inverses.
    return upright(pixels, {6: 8, 8: 6}.get(orientation, orientation))
