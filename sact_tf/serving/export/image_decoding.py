"""Encoded images to pixels with stock TensorFlow operations, for graphs that leave Python.

Gives what `sact_tf.images.decoding` gives, pixel by pixel, or refuses: TensorFlow's own decoders
read some files in other colours, and without a word. What a file is, is decided from its header:

| format | converted | refused |
| --- | --- | --- |
| JPEG | all that libjpeg reads | |
| PNG | all colour types, depths and transparency | |
| WebP | still pictures without EXIF | animations, EXIF |
| BMP | 1, 4, 8, 24 and 32 bits, uncompressed | 16 bits, bit masks, run lengths, OS/2's |
| GIF | first frame, if it is opaque and fills the canvas | others |

The rest (TIFF, PPM, ...) is refused, too.
"""

import tensorflow as tf

_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4
_GREY_ALPHA, _RGB_ALPHA = 4, 6
# Bounds of what a header may hold: walking through it is slow.
_JPEG_SEGMENTS, _PNG_CHUNKS, _GIF_BLOCKS = 4096, 65536, 4096


def decode_image(data: tf.Tensor) -> tf.Tensor:
    """Decodes an image file.

    Args:
        data: scalar string, the bytes of a file, see the module.

    Returns:
        uint8 [height, width, 3].

    Raises:
        tf.errors.InvalidArgumentError: when run, on anything else.
    """
    formats = (
        (0, b"\xff\xd8\xff", _decode_jpeg),
        (0, b"\x89PNG\r\n\x1a\n", _decode_png),
        (8, b"WEBP", _decode_webp),
        (0, b"BM", _decode_bmp),
        (0, b"GIF8", _decode_gif),
    )
    matches = [
        tf.equal(
            tf.strings.substr(data, tf.minimum(place, tf.strings.length(data)), len(name)), name
        )
        for place, name, _ in formats
    ]
    known = tf.reduce_any(matches)
    number = tf.where(known, tf.argmax(matches, output_type=tf.int32), len(formats))
    branches = [lambda decode=decode: decode(data) for _, _, decode in formats]
    image = tf.switch_case(number, [*branches, lambda: _no_image(data)])
    return tf.ensure_shape(image, [None, None, 3])


def exif_orientation(data: tf.Tensor) -> tf.Tensor:
    """How a JPEG file says the camera was held: int32 scalar from 1 (upright; the default) to 8.

    Args:
        data: scalar string, the bytes of a JPEG file.
    """
    read = _reader(data)

    def is_exif(position):
        # The name "Exif" in a segment APP1.
        return tf.equal(read(position, 2), 0xFFE1) & tf.equal(read(position + 4, 4), 0x45786966)

    def goes_on(position):
        is_marker = tf.equal(read(position, 1), 0xFF)
        return is_marker & (read(position + 1, 1) != 0xDA) & ~is_exif(position)

    def following(position):
        # A marker may have any number of 0xFF before it.
        is_filled = tf.equal(read(position + 1, 1), 0xFF)
        return [position + tf.where(is_filled, _int64(1), 2 + tf.maximum(read(position + 2, 2), 2))]

    (position,) = tf.while_loop(goes_on, following, [_int64(2)], maximum_iterations=_JPEG_SEGMENTS)
    found = is_exif(position)
    is_header = found | tf.equal(read(position, 2), 0xFFDA)
    position = _checked(
        position, is_header, f"a JPEG file whose header is damaged, or of {_JPEG_SEGMENTS} segments"
    )
    end = position + 2 + read(position + 2, 2)
    return tf.cond(found, lambda: _orientation(read, position + 10, end), lambda: 1)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image [height, width, C] by its EXIF orientation."""
    turns = [
        lambda: image,
        lambda: image[:, ::-1],
        lambda: image[::-1, ::-1],
        lambda: image[::-1],
        lambda: tf.transpose(image, [1, 0, 2]),
        lambda: tf.transpose(image, [1, 0, 2])[:, ::-1],
        lambda: tf.transpose(image, [1, 0, 2])[::-1, ::-1],
        lambda: tf.transpose(image, [1, 0, 2])[::-1],
    ]
    return tf.switch_case(orientation - 1, turns)


def _decode_jpeg(data):
    # The default inverse transform is a fast one, a few grey levels away from other decoders.
    image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return upright(image, exif_orientation(data))


def _decode_png(data):
    read = _reader(data)
    color_type = read(25, 1)

    def goes_on(position, *_):
        return read(position + 4, 4) != int.from_bytes(b"IEND", "big")

    def following(position, has_color, exif):
        length, name = read(position, 4), read(position + 4, 4)
        has_color |= tf.equal(name, int.from_bytes(b"tRNS", "big"))
        is_exif = tf.equal(exif, 0) & tf.equal(name, int.from_bytes(b"eXIf", "big"))
        return position + 12 + length, has_color, tf.where(is_exif, position, exif)

    # A file that ends early reads as zeros, and libpng refuses it.
    size = _int64(tf.strings.length(data))
    end, has_color, exif = tf.while_loop(
        lambda position, *rest: (position < size) & goes_on(position),
        following,
        [_int64(8), tf.constant(False), _int64(0)],
        maximum_iterations=_PNG_CHUNKS,
    )
    data = _checked(
        data, (end >= size) | ~goes_on(end), f"a PNG file of more than {_PNG_CHUNKS} chunks"
    )

    def opaque():
        return tf.io.decode_png(data, channels=3)

    # Four channels only where there is transparency: what TensorFlow adds to other files of fewer
    # than 8 bits is not opaque.
    has_alpha = tf.equal(color_type, _GREY_ALPHA) | tf.equal(color_type, _RGB_ALPHA)
    image = tf.cond(
        has_alpha | has_color, lambda: _on_white(tf.io.decode_png(data, channels=4)), opaque
    )
    orientation = tf.cond(
        exif > 0, lambda: _orientation(read, exif + 8, exif + 8 + read(exif, 4)), lambda: 1
    )
    return upright(image, orientation)


def _decode_webp(data):
    read = _reader(data)
    is_extended = tf.equal(read(12, 4), int.from_bytes(b"VP8X", "big"))
    is_lossless = tf.equal(read(12, 4), int.from_bytes(b"VP8L", "big"))
    has_exif, is_animated = _bit(read(20, 1), 3), _bit(read(20, 1), 1)
    # TensorFlow's decoder writes beyond its memory at some animations: it must not see any.
    data = _checked(data, ~(is_extended & is_animated), "an animated WebP file: not supported")
    data = _checked(data, ~(is_extended & has_exif), "a WebP file with EXIF data: not supported")
    has_alpha = (is_extended & _bit(read(20, 1), 4)) | (is_lossless & _bit(read(24, 1), 4))

    def decode(channels):
        return tf.io.decode_image(data, channels, expand_animations=False)

    return tf.cond(has_alpha, lambda: _on_white(decode(4)), lambda: decode(3))


def _decode_bmp(data):
    read = _reader(data)

    def number(position, length=4):
        found = read(position, length, tf.constant(True))
        return found - tf.where(found >= 1 << 31, _int64(1 << 32), 0)

    start, header, width, height, bits = (
        number(10),
        number(14),
        number(18),
        number(22),
        number(28, 2),
    )
    is_known = tf.reduce_any(tf.equal(bits, [1, 4, 8, 24, 32]))
    is_plain = is_known & (header >= 40) & tf.equal(number(30), 0)
    what = "a BMP file other than of 1, 4, 8, 24 or 32 bits without compression: not supported"
    data = _checked(data, is_plain, what)
    rows, stride = tf.abs(height), (width * bits + 31) // 32 * 4
    is_whole = (start > 0) & (start + rows * stride <= _int64(tf.strings.length(data)))
    # Bounds first: the product of what a file claims may pass 64 bits.
    is_sane = (width > 0) & (width < 1 << 24) & (rows > 0) & (rows < 1 << 24)
    data = _checked(data, is_sane & is_whole, "a BMP file that is truncated or damaged")
    content = tf.io.decode_raw(data, tf.uint8)
    lines = tf.reshape(content[start : start + rows * stride], [rows, stride])

    def of_colors():
        image = tf.reshape(lines[:, : width * (bits // 8)], [rows, width, bits // 8])
        return image[..., 2::-1]

    def of_palette():
        used = number(46)
        used = tf.where(tf.equal(used, 0), tf.bitwise.left_shift(_int64(1), bits), used)
        first = 14 + header
        is_sane = (used > 0) & (used <= 256) & (first + 4 * used <= start)
        first = _checked(first, is_sane, "a BMP file whose palette is damaged")
        palette = tf.reshape(content[first : first + 4 * used], [used, 4])[:, 2::-1]
        steps = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
        mask = tf.cast(tf.bitwise.left_shift(_int64(1), bits) - 1, tf.uint8)
        indices = tf.bitwise.right_shift(lines[..., tf.newaxis], steps) & mask
        indices = tf.cast(tf.reshape(indices, [rows, -1])[:, :width], tf.int64)
        has_all = tf.reduce_max(indices) < used
        indices = _checked(indices, has_all, "a BMP file whose palette has too few colours")
        return tf.gather(palette, indices)

    image = tf.cond(bits > 8, of_colors, of_palette)
    return tf.cond(height > 0, lambda: image[::-1], lambda: image)


def _decode_gif(data):
    read = _reader(data)
    little = tf.constant(True)
    extension, control, picture = 0x21, 0xF9, 0x2C

    def after_table(position, flags):
        """Skips a colour table."""
        size = 3 * tf.bitwise.left_shift(_int64(2), flags & 7)
        return position + tf.where(_bit(flags, 7), size, 0)

    def following(position, is_inside, is_transparent):
        # Inside of an extension: sub-blocks, which begin with their length, up to an empty one.
        length = read(position, 1)
        is_control = ~is_inside & tf.equal(read(position + 1, 1), control)
        is_transparent |= is_control & _bit(read(position + 3, 1), 0)
        step = tf.where(is_inside, 1 + length, 2)
        return position + step, ~is_inside | (length > 0), is_transparent

    start = after_table(_int64(13), read(10, 1))
    end, is_inside, is_transparent = tf.while_loop(
        lambda position, is_inside, _: is_inside | tf.equal(read(position, 1), extension),
        following,
        [start, tf.constant(False), tf.constant(False)],
        maximum_iterations=_GIF_BLOCKS,
    )
    data = _checked(
        data,
        ~is_inside & tf.equal(read(end, 1), picture),
        f"a GIF file without a picture in its first {_GIF_BLOCKS} blocks",
    )
    data = _checked(data, ~is_transparent, "a transparent GIF file: not supported")
    fills = [tf.equal(read(end + 1, 4), 0)]
    fills += [tf.equal(read(end + 5 + i, 2, little), read(6 + i, 2, little)) for i in (0, 2)]
    what = "a GIF file whose first frame does not fill it: not supported"
    data = _checked(data, tf.reduce_all(fills), what)
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _no_image(data):
    what = "a file that does not begin like JPEG, PNG, WebP, BMP or GIF: not supported"
    return _checked(tf.zeros([1, 1, 3], tf.uint8), tf.strings.length(data) < 0, what)


def _reader(data):
    """A function that reads numbers of up to 4 bytes from a file; zeros where it has ended."""
    size = _int64(tf.strings.length(data))
    # The last byte is what lies outside.
    content = tf.io.decode_raw(tf.strings.join([data, b"\0"]), tf.uint8)

    def read(position, length, little=None):
        places = tf.expand_dims(_int64(position), -1) + tf.range(length, dtype=tf.int64)
        places = tf.where((places >= 0) & (places < size), places, size)
        found = tf.cast(tf.gather(content, places), tf.int64)
        # Not reversed in the graph: Grappler takes a few ints for a shape, and gives up at it.
        from_small = [256**power for power in range(length)]
        powers = tf.constant(from_small[::-1], tf.int64)
        if little is not None:
            powers = tf.where(little, tf.constant(from_small, tf.int64), powers)
        return tf.reduce_sum(found * powers, axis=-1)

    return read


def _orientation(read, start, end):
    """The orientation in an EXIF block from `start` to before `end`."""
    name = read(start, 2)
    little = tf.equal(name, 0x4949)
    is_block = little | tf.equal(name, 0x4D4D)
    first = read(start + 4, 4, little)
    entries = start + first + 2 + 12 * tf.range(read(start + first, 2, little))
    inside = entries + 12 <= end
    matching = tf.where(inside & tf.equal(read(entries, 2, little), _ORIENTATION_TAG))[:, 0]

    def value():
        entry = tf.gather(entries, matching[0])
        kind = read(entry + 2, 2, little)
        long = tf.where(tf.equal(kind, _LONG), read(entry + 8, 4, little), 1)
        return tf.where(tf.equal(kind, _SHORT), read(entry + 8, 2, little), long)

    found = tf.cond(is_block & (tf.size(matching) > 0), value, lambda: _int64(1))
    return tf.cast(tf.where((found >= 1) & (found <= 8), found, 1), tf.int32)


def _on_white(image):
    """Lays uint8 [height, width, 4] on white, rounded to the nearest value."""
    image = tf.cast(image, tf.int32)
    color, alpha = image[..., :3], image[..., 3:]
    return tf.cast((color * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _bit(number, place):
    return tf.equal(tf.bitwise.right_shift(number, _int64(place)) & 1, 1)


def _checked(data, condition, what):
    """The data, which nothing can read before the condition is known to be true."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [what])]):
        return tf.identity(data)


def _int64(value):
    return tf.cast(value, tf.int64)
