"""Picture files of all formats, depths, colour types and kinds of transparency, with the pixels
that stand in them. PNG and BMP are written here: Pillow writes some kinds only."""

import itertools
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.serving.models import encode, pixels

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
_COLOR_NAMES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}


class Case(NamedTuple):
    """A file.

    Attributes:
        data: its bytes.
        pixels: uint8 [height, width, 3] that are in it, upright; None for lossy formats.
        in_graph: whether a graph without Python converts it; it refuses the others.
    """

    data: bytes
    pixels: np.ndarray | None
    in_graph: bool


def exif(orientation: int, little: bool = False) -> bytes:
    """A TIFF block with two entries, as EXIF has it."""
    order = "<" if little else ">"
    start = struct.pack(order + "2sHIH", b"II" if little else b"MM", 42, 8, 2)
    width = struct.pack(order + "HHIHH", 0x0100, 3, 1, 5, 0)
    return start + width + struct.pack(order + "HHIHHI", 0x0112, 3, 1, orientation, 0, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(samples, bits, color_type, palette=None, transparent=None, late=b"") -> bytes:
    """A PNG file of samples [height, width, channels]; `late` are chunks after the pixels."""
    height, width, channels = samples.shape
    if bits == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        rows = _packed(samples.reshape(height, -1), bits)
    raw = np.concatenate([np.zeros([height, 1], np.uint8), rows], axis=1).tobytes()
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0))]
    if palette is not None:
        parts.append(chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    if transparent is not None:
        parts.append(chunk(b"tRNS", transparent))
    compressed = zlib.compress(raw)
    half = len(compressed) // 2
    parts += [chunk(b"IDAT", compressed[:half]), chunk(b"IDAT", compressed[half:])]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + late + chunk(b"IEND", b"")


def bmp(indices, bits, palette, top_down=False, colors_used=None) -> bytes:
    """A BMP file of palette indices [height, width]."""
    height, width = indices.shape
    rows = _packed(indices, bits)
    rows = np.pad(rows, [[0, 0], [0, -rows.shape[1] % 4]])
    rows = rows if top_down else rows[::-1]
    table = np.concatenate([palette[:, ::-1], np.zeros([len(palette), 1])], axis=1)
    start = 54 + table.size
    used = len(palette) if colors_used is None else colors_used
    head = b"BM" + struct.pack("<IHHI", start + rows.size, 0, 0, start)
    signed = -height if top_down else height
    head += struct.pack("<IiiHHIIiiII", 40, width, signed, 1, bits, 0, rows.size, 1, 1, used, 0)
    return head + table.astype(np.uint8).tobytes() + rows.tobytes()


def _packed(values, bits):
    """Rows of samples of at most 8 bits, as bytes."""
    per_byte = 8 // bits
    values = np.pad(values, [[0, 0], [0, -values.shape[1] % per_byte]])
    values = values.reshape(len(values), -1, per_byte).astype(np.int64)
    return (values << np.arange(8 - bits, -1, -bits)).sum(axis=2).astype(np.uint8)


def _on_white(color, alpha):
    share = alpha[..., None].astype(np.float64) / 255
    return np.floor(color * share + 255 * (1 - share) + 0.5).astype(np.uint8)


def _png_cases():
    rng = np.random.default_rng(0)
    kinds = [(_GREY, bits) for bits in (1, 2, 4, 8, 16)]
    kinds += [(_PALETTE, bits) for bits in (1, 2, 4, 8)]
    kinds += [(kind, bits) for kind in (_RGB, _GREY_ALPHA, _RGB_ALPHA) for bits in (8, 16)]
    for color_type, bits in kinds:
        most = 2**bits - 1
        samples = rng.integers(0, most + 1, [9, 13, _CHANNELS[color_type]])
        # A neighbour of the transparent colour, other in the lower byte alone.
        samples[0, 0], samples[0, 1] = most // 3, max(most // 3 - 1, 0)
        palette = rng.integers(0, 256, [most + 1, 3]) if color_type == _PALETTE else None
        high = samples >> 8 if bits == 16 else samples * 255 // most
        color = palette[samples[..., 0]] if color_type == _PALETTE else high[..., :3]
        if color_type in (_GREY, _GREY_ALPHA):
            color = np.repeat(high[..., :1], 3, axis=2)
        name = f"PNG, {_COLOR_NAMES[color_type]}, {bits} bits"
        if color_type in (_GREY_ALPHA, _RGB_ALPHA):
            yield name, png(samples, bits, color_type), _on_white(color, high[..., -1])
            continue
        yield name, png(samples, bits, color_type, palette), color
        if color_type == _PALETTE:
            alpha = rng.integers(0, 256, most + 1)
            alpha[0] = 90
            transparent = alpha[: most // 2 + 1].astype(np.uint8).tobytes()
            alpha[most // 2 + 1 :] = 255
            expected = _on_white(color, alpha[samples[..., 0]])
        else:
            channels = _CHANNELS[color_type]
            transparent = struct.pack(f">{channels}H", *[most // 3] * channels)
            expected = np.where((samples == most // 3).all(axis=2)[..., None], 255, color)
        yield f"{name}, transparent", png(samples, bits, color_type, palette, transparent), expected


def _bmp_cases():
    rng = np.random.default_rng(1)
    for bits, top_down in itertools.product((1, 4, 8), (False, True)):
        indices = rng.integers(0, 2**bits, [9, 13])
        palette = rng.integers(0, 256, [2**bits, 3])
        name = f"BMP, {bits} bits{', top down' if top_down else ''}"
        yield name, bmp(indices, bits, palette, top_down), palette[indices]
    indices, palette = rng.integers(0, 5, [9, 13]), rng.integers(0, 256, [5, 3])
    yield "BMP, 8 bits, five colours", bmp(indices, 8, palette), palette[indices]
    full = rng.integers(0, 256, [256, 3])
    yield "BMP, 8 bits, colours not counted", bmp(indices, 8, full, colors_used=0), full[indices]
    yield "BMP, 24 bits", encode(pixels(), "BMP"), pixels()
    yield "BMP, trailing byte", encode(pixels(), "BMP") + b"\0", pixels()
    grey = pixels()[..., 0]
    yield "BMP, grey", encode(grey, "BMP"), np.stack([grey] * 3, axis=2)
    black_white = Image.fromarray(grey > 128)
    yield "BMP, black and white", encode(black_white, "BMP"), np.asarray(black_white.convert("RGB"))


def _others():
    """(name, data, pixels, whether a graph converts it)"""
    picture, image = pixels(), Image.fromarray(pixels())
    grey = picture[..., 0]
    alpha = np.linspace(0, 255, grey.size).reshape(grey.shape).astype(np.uint8)
    rgba = Image.fromarray(np.dstack([picture, alpha]))
    on_white = _on_white(picture, alpha)
    yield "JPEG", encode(image, "JPEG"), None, True
    yield "JPEG, grey", encode(grey, "JPEG"), None, True
    yield "JPEG, CMYK", encode(image.convert("CMYK"), "JPEG"), None, True
    yield "JPEG, progressive", encode(image, "JPEG", progressive=True), None, True
    yield "WebP", encode(image, "WEBP", quality=60), None, True
    yield "WebP, lossless", encode(image, "WEBP", lossless=True), picture, True
    yield "WebP, transparent", encode(rgba, "WEBP", quality=60), None, True
    lossless = encode(rgba, "WEBP", lossless=True, exact=True)
    yield "WebP, lossless, transparent", lossless, on_white, True
    frames = {"save_all": True, "append_images": [image.transpose(1)]}
    yield "WebP, animated", encode(image, "WEBP", lossless=True, **frames), picture, False
    few = image.quantize(16)
    shown = np.asarray(few.convert("RGB"))
    yield "GIF", encode(few, "GIF"), shown, True
    yield "GIF, interlaced", encode(few, "GIF", interlace=1), shown, True
    yield "GIF, grey", encode(grey, "GIF"), np.stack([grey] * 3, axis=2), True
    frames["append_images"] = [few.transpose(1)]
    yield "GIF, animated", encode(few, "GIF", **frames), shown, True
    clear = np.where((np.asarray(few) == 3)[..., None], 255, shown)
    yield "GIF, transparent", encode(few, "GIF", transparency=3), clear, False
    small = encode(few, "GIF")
    wide = small[:6] + struct.pack("<HH", 40, 30) + small[10:]
    yield "GIF, frame smaller than the canvas", wide, None, False
    for compression in (None, "tiff_lzw", "tiff_deflate"):
        name = f"TIFF, {compression or 'plain'}"
        yield name, encode(image, "TIFF", compression=compression), picture, False
    wide_grey = np.arange(24 * 30).reshape(24, 30).astype(np.uint16) * 91
    sixteen = np.repeat((wide_grey >> 8)[..., None], 3, axis=2)
    yield "TIFF, 16 bits", encode(Image.fromarray(wide_grey), "TIFF"), sixteen, False
    yield "TIFF, transparent", encode(rgba, "TIFF"), on_white, False
    yield "TIFF, palette", encode(few, "TIFF"), shown, False
    yield "TIFF, one bit", encode(Image.fromarray(grey > 128), "TIFF"), None, False
    yield "PPM", encode(image, "PPM"), picture, False
    yield "PGM, 16 bits", encode(Image.fromarray(wide_grey), "PPM"), sixteen, False
    yield "PBM", encode(Image.fromarray(grey > 128), "PPM"), None, False
    plain = encode(rgba, "BMP")
    yield "BMP, 32 bits", plain, picture, True
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    masked = plain[:10] + struct.pack("<I", 66) + plain[14:30] + struct.pack("<I", 3)
    yield "BMP, bit masks", masked + plain[34:54] + masks + plain[54:], picture, False


def _turned(array, orientation):
    """What a file that holds `array` shows, by the words of the standard."""
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array[::-1] if orientation in (3, 4, 7, 8) else array


def _oriented():
    picture = pixels(10, 16)
    for orientation, little in itertools.product(range(1, 9), (False, True)):
        block = exif(orientation, little)
        shown = _turned(picture, orientation)
        name = f"orientation {orientation}, {'little' if little else 'big'} endian"
        before = b"Exif\0\0" + block
        yield f"JPEG, {name}", encode(picture, "JPEG", exif=before), None, True
        yield f"PNG, {name}", encode(picture, exif=before), shown, True
        late = png(picture, 8, _RGB, late=chunk(b"eXIf", block))
        yield f"PNG, late, {name}", late, shown, True
        webp = encode(picture, "WEBP", lossless=True, exif=before)
        yield f"WebP, {name}", webp, shown, False
        if not little:
            tags = {274: orientation}
            yield f"TIFF, {name}", encode(picture, "TIFF", tiffinfo=tags), shown, False


def cases() -> dict[str, Case]:
    """All of them by name."""
    found = {name: Case(data, shown, True) for name, data, shown in _png_cases()}
    found |= {name: Case(data, shown, True) for name, data, shown in _bmp_cases()}
    for name, data, shown, in_graph in itertools.chain(_others(), _oriented()):
        found[name] = Case(data, shown, in_graph)
    return found
