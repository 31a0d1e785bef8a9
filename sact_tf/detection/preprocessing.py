"""From a decoded image to the detector's input, by a description that is saved with the model.

A detector's preprocessing is a JSON-able dict {"name": ..., "short_side": 600, "long_side": 1024}:
the image is resized, its aspect ratio kept, so that the shorter side has `short_side` pixels, or
fewer where the longer one would pass `long_side`. `short_side` None keeps the image's own size up
to `long_side`. `name` says what becomes of the pixel values (`sact_tf.data.preprocessing`).

All functions are TensorFlow operations alone: they work in `tf.function`, tf.data and a SavedModel.

Reference: Ren et al., Faster R-CNN (arXiv 1506.01497), section 3.3.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from sact_tf.data.preprocessing import pixel_scaling_function
from sact_tf.errors import UserError

_KEYS = {"name", "short_side", "long_side"}


def input_size(image_size: tf.Tensor, preprocessing: Mapping[str, Any]) -> tf.Tensor:
    """The size at which an image enters the network.

    Args:
        image_size: (height, width) in pixels, int32 [2].
        preprocessing: see the module.

    Returns:
        int32 [2], at least one pixel on each side.
    """
    short_side, long_side = _sides(preprocessing)
    sides = tf.cast(image_size, tf.float64)
    scale = tf.constant(1.0, tf.float64)
    if short_side is not None:
        scale = short_side / tf.reduce_min(sides)
    if long_side is not None:
        scale = tf.minimum(scale, long_side / tf.reduce_max(sides))
    return tf.maximum(1, tf.cast(tf.round(sides * scale), tf.int32))


def preprocessing_function(
    preprocessing: Mapping[str, Any],
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The preprocessing of one image.

    Args:
        preprocessing: see the module.

    Returns:
        A function of an image, uint8 [height, width, 3], that gives the network's input, float32
        [h, w, 3], and the scale, float32 [2]: input pixels per pixel of the image, (y, x).

    Raises:
        UserError: there is no such preprocessing.
    """
    _sides(preprocessing)
    scale_pixels = pixel_scaling_function({"name": preprocessing.get("name")})

    def preprocess(image):
        original = tf.shape(image)[:2]
        size = input_size(original, preprocessing)
        pixels = tf.cast(image, tf.float32)
        pixels = tf.cond(
            tf.reduce_all(tf.equal(size, original)),
            lambda: pixels,
            lambda: tf.image.resize(pixels, size, "bilinear", antialias=True),
        )
        scale = tf.cast(size, tf.float32) / tf.cast(original, tf.float32)
        return scale_pixels(tf.ensure_shape(pixels, [None, None, 3])), scale

    return preprocess


def _sides(preprocessing: Mapping[str, Any]) -> tuple[int | None, int | None]:
    if not isinstance(preprocessing, Mapping) or not {"name"} <= set(preprocessing) <= _KEYS:
        raise UserError(
            f"Expected a detector's preprocessing to be a dict with the keys {sorted(_KEYS)}, "
            f"received {preprocessing!r}"
        )
    sides = preprocessing.get("short_side"), preprocessing.get("long_side")
    if any(side is not None and (type(side) is not int or side < 1) for side in sides):
        raise UserError(
            "Expected preprocessing short_side and long_side to be positive ints or None, "
            f"received {sides[0]!r} and {sides[1]!r}"
        )
    return sides
