"""Picture files that make a decoder do much more than their length or their header says."""

import io
import re
import struct
import zlib

from PIL import Image

_CLEAR, _FIRST_FREE, _MOST_CODES = 4, 6, 4096


def gif(canvas, *frames):
    """A GIF file of black frames.

    Args:
        canvas: (width, height) in the header.
        *frames: (width, height) of each frame.
    """
    palette = bytes(12)
    parts = [b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x81, 0, 0) + palette]
    for width, height in frames:
        data = _black(width * height)
        blocks = [data[i : i + 255] for i in range(0, len(data), 255)]
        parts.append(b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2")
        parts += [bytes([len(block)]) + block for block in blocks] + [b"\0"]
    return b"".join(parts) + b";"


def _black(pixels):
    """LZW codes of zeros: every code stands for one pixel more than the one before."""
    value = bits = 0
    out = bytearray()

    def put(code, width):
        nonlocal value, bits
        value |= code << bits
        bits += width
        while bits >= 8:
            out.append(value & 255)
            value, bits = value >> 8, bits - 8

    while pixels > 0:
        put(_CLEAR, 12 if out else 3)
        put(0, 3)
        pixels, length = pixels - 1, 2
        for code in range(_FIRST_FREE, _MOST_CODES):
            if pixels <= 0:
                break
            put(code, code.bit_length())
            pixels, length = pixels - length, length + 1
    put(_CLEAR + 1, 12)
    out.append(value & 255)
    return bytes(out)


def jpeg_of_scans(side, more, before=b""):
    """A progressive JPEG file, the last scan of which is repeated.

    Args:
        side: of the picture, in pixels.
        more: how often it is repeated.
        before: goes between them.
    """
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 30)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    start = data.rindex(b"\xff\xda")
    return data[:-2] + (before + data[start:-2]) * more + data[-2:]


def jpeg_of_segments(number):
    """A JPEG file with empty comments."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue().replace(b"\xff\xd8", b"\xff\xd8" + b"\xff\xfe\0\2" * number, 1)


def png_of_chunks(number):
    """A PNG file with empty chunks."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    data, place = buffer.getvalue(), 33
    empty = struct.pack(">I4sI", 0, b"abCd", zlib.crc32(b"abCd"))
    return data[:place] + empty * number + data[place:]


def gif_of_comments(number):
    """A GIF file that begins with a comment in blocks of one byte."""
    data = gif((8, 8), (8, 8))
    place = data.index(b",")
    return data[:place] + b"!\xfe" + b"\1x" * number + b"\0" + data[place:]


def pgm_of_odd_range(side):
    """A PGM file that Pillow decodes pixel by pixel in Python."""
    return b"P5 %d %d 254\n" % (side, side) + bytes(side * side)


def tiff(width, height, *tags):
    """A TIFF file of grey pixels, with more tags: (tag, kind, count, value)."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), *tags]
    tags = sorted(tags)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)
    return head + bytes(width * height)


def big_tiff(width, height, *tags):
    """The same as BigTIFF."""
    tags = sorted([(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), *tags])
    entries = b"".join(struct.pack("<HHQQ", *tag) for tag in tags)
    head = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(tags)) + entries + bytes(8)
    return head + bytes(width * height)


def scans(data):
    """How many scans a JPEG file has, if none is hidden."""
    return len(re.findall(rb"\xff\xda", data))
