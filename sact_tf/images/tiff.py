"""What a TIFF file asks its decoder to keep in memory beside the pixels: tiles and lists.

Reference: TIFF 6.0, section 2; BigTIFF has wider numbers.
"""

from sact_tf.images.limits import DecodingLimits

_BIG = 43
TIFF_STARTS = tuple(
    order + number.to_bytes(2, end)
    for order in (b"II", b"MM")
    for number in (42, _BIG)
    for end in ("little", "big")  # Pillow takes either
)
_BYTES = (1, 2, 6, 7)  # types that are read as they are, not as lists of numbers
_WIDTHS = {3: 2, 4: 4, 16: 8}
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check_tiff(data: bytes, limits: DecodingLimits) -> None:
    """Reads the directory of the first page.

    Raises:
        LimitExceeded: a tag has too many numbers, or a tile too many pixels.
    """
    order = "little" if data.startswith(b"II") else "big"
    word = 8 if _BIG in data[2:4] else 4
    tiles = {_TILE_WIDTH: 1, _TILE_LENGTH: 1}

    def number(position, length):
        return int.from_bytes(data[position : position + length], order)

    start = number(word, word)
    first = start + (8 if word == 8 else 2)
    size = 4 + 2 * word
    last = min(first + size * number(start, first - start), len(data))
    for entry in range(first, last, size):
        tag, kind, count = number(entry, 2), number(entry + 2, 2), number(entry + 4, word)
        if kind not in _BYTES:
            limits.check_parts(count, f"numbers of the TIFF tag {tag}")
        if tag in tiles and kind in _WIDTHS:
            tiles[tag] = max(tiles[tag], number(entry + 4 + word, _WIDTHS[kind]))
    limits.check_pixels("its tiles", tiles[_TILE_WIDTH], tiles[_TILE_LENGTH])
