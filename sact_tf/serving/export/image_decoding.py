"""Encoded images to pixels with stock TensorFlow operations, for graphs that leave Python.

Gives what `sact_tf.data.read_image` gives (transparency on white, cameras' orientation applied),
for the formats that TensorFlow decodes: JPEG, PNG, GIF (first frame) and BMP.
"""

import tensorflow as tf

# EXIF stands at the start of the file, in a segment of at most 64 KiB; others may come before.
_HEADER_BYTES = 1 << 18
_ORIENTATION_TAG = 0x0112


def decode_image(data: tf.Tensor) -> tf.Tensor:
    """Decodes an image file.

    Args:
        data: scalar string, the bytes of a JPEG, PNG, GIF or BMP file.

    Returns:
        uint8 [height, width, 3].

    Raises:
        tf.errors.InvalidArgumentError: when run, on anything else.
    """
    is_png = tf.equal(tf.strings.substr(data, 0, 4), b"\x89PNG") & (tf.strings.length(data) > 25)
    image = tf.cond(
        tf.io.is_jpeg(data),
        lambda: _decode_jpeg(data),
        lambda: tf.cond(is_png, lambda: _decode_png(data), lambda: _decode_other(data)),
    )
    return tf.ensure_shape(image, [None, None, 3])


def exif_orientation(data: tf.Tensor) -> tf.Tensor:
    """How a JPEG file says the camera was held: int32 scalar from 1 (upright; the default) to 8.

    Args:
        data: scalar string, the bytes of a JPEG file.
    """
    content = tf.io.decode_raw(tf.strings.substr(data, 0, _HEADER_BYTES), tf.uint8)
    content = tf.cast(content, tf.int32)
    size = tf.size(content)

    def read(position, length, little=False):
        """Unsigned numbers at positions of any shape; zeros where the file has ended."""
        order = tf.range(length - 1, -1, -1) if little else tf.range(length)
        places = tf.convert_to_tensor(position)[..., tf.newaxis] + order
        inside = (places >= 0) & (places < size)
        found = tf.gather(content, tf.where(inside, places, 0))
        weights = tf.constant([256**power for power in range(length - 1, -1, -1)], tf.int32)
        return tf.reduce_sum(tf.where(inside, found, 0) * weights, axis=-1)

    def is_exif(position):
        # The name "Exif"; as two numbers, since four bytes have no room in an int32.
        return (
            tf.equal(read(position, 2), 0xFFE1)
            & tf.equal(read(position + 4, 2), 0x4578)
            & tf.equal(read(position + 6, 2), 0x6966)
        )

    def goes_on(position):
        is_segment = tf.equal(read(position, 1), 0xFF) & (read(position + 1, 1) != 0xDA)
        return (position + 4 < size) & is_segment & ~is_exif(position)

    (position,) = tf.while_loop(
        goes_on, lambda position: [position + 2 + tf.maximum(2, read(position + 2, 2))], [2]
    )
    start = position + 10

    def orientation():
        return tf.cond(
            tf.equal(read(start, 2), 0x4949), lambda: in_order(True), lambda: in_order(False)
        )

    def in_order(little):
        # Offsets beyond 64 KiB cannot lie in the segment: the low half is enough.
        offset = read(start + (4 if little else 6), 2, little)
        count = read(start + offset, 2, little)
        entries = start + offset + 2 + 12 * tf.range(count)
        matching = tf.where(tf.equal(read(entries, 2, little), _ORIENTATION_TAG))[:, 0]
        return tf.cond(
            tf.size(matching) > 0,
            lambda: read(tf.gather(entries, matching[0]) + 8, 2, little),
            lambda: 1,
        )

    found = tf.cond(is_exif(position), orientation, lambda: 1)
    return tf.where((found >= 1) & (found <= 8), found, 1)


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
    def of_palette():
        # Asked for four channels, a palette without transparency would come with some.
        image = tf.io.decode_png(data)
        opaque = tf.fill([*tf.unstack(tf.shape(image)[:2]), 1], tf.constant(255, tf.uint8))
        return tf.concat([image, opaque], axis=2)[..., :4]

    is_palette = tf.equal(tf.strings.substr(data, 25, 1), b"\x03")
    image = tf.cond(is_palette, of_palette, lambda: tf.io.decode_png(data, channels=4))
    image = tf.cast(image, tf.float32)
    share = image[..., 3:] / 255
    return tf.cast(tf.round(image[..., :3] * share + 255 * (1 - share)), tf.uint8)


def _decode_other(data):
    return tf.io.decode_image(data, channels=3, expand_animations=False)
