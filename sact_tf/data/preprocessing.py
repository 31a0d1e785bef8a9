"""From a decoded image to the network's input, by a description that is saved with the model.

A preprocessing is a JSON-able dict {"name": ..., "image_size": ...}. Names:

- "imagenet": the paper's. Evaluation: central crop 0.875, resized to `image_size` (default 224),
  [-1, 1]. Training: Inception-style distortions (`sact_tf.data.imagenet_augmentation`).
- "cifar": per-image standardisation. Training: padded by `padding` pixels on each side (2, the
  authors', by default: 32 to 36), cropped to the size before, flipped.
- "scale": resized, [-1, 1]. Training: flipped; padded and cropped, too, where `padding` is given.
- "unit": resized, [0, 1]. No augmentation: for data where a mirrored image means something else.

`image_size` is an int, or [height, width]. Without it (all but "imagenet") images keep their size.
`cutout` ("cifar" and "scale"; 0 by default) is the side in pixels of a square around a random pixel
that training sets to zero: the image's mean, or the middle of [-1, 1] (arXiv 1708.04552).
All functions are TensorFlow operations alone: they work in `tf.function`, tf.data and a SavedModel.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from sact_tf.data.imagenet_augmentation import distort
from sact_tf.errors import UserError

_CENTRAL_FRACTION = 0.875
_CROP_DIVISOR = 16  # (1 - 0.875) / 2 of the sides, rounded down, goes at each end.
_IMAGENET_SIZE = 224
_PADDING = {"cifar": 2, "scale": 0}

NAMES = ("imagenet", "cifar", "scale", "unit")


def evaluation_function(preprocessing: Mapping[str, Any]) -> Callable[[tf.Tensor], tf.Tensor]:
    """The preprocessing of an image for evaluation.

    "imagenet" gives the numbers of the authors' program (arXiv 1612.02297, section 4.1): values in
    [0, 1], central crop, TensorFlow 1's bilinear resizing (pixel i reads i * scale; no antialias;
    the aspect ratio is not kept), 2 (x - 0.5).

    Args:
        preprocessing: see the module.

    Returns:
        A function of one image, uint8 [height, width, 3], that gives float32 [h, w, 3].

    Raises:
        UserError: there is no such preprocessing.
    """
    name, size = _parse(preprocessing)

    def imagenet(image):
        image = _central_crop(_unit_range(image))
        image = tf.raw_ops.ResizeBilinear(images=image[None], size=size)[0]
        return _symmetric_range(image)

    def cifar(image):
        return tf.image.per_image_standardization(_resized(_float(image), size))

    def scale(image):
        return _symmetric_range(_resized(_unit_range(image), size))

    def unit(image):
        return _resized(_unit_range(image), size)

    return {"imagenet": imagenet, "cifar": cifar, "scale": scale, "unit": unit}[name]


def evaluation_box_function(
    preprocessing: Mapping[str, Any],
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Where an object of the image is on what `evaluation_function` gives.

    Args:
        preprocessing: see the module.

    Returns:
        A function of one box, float32 [4], (top, left, bottom, right) in pixels of the image, ends
        exclusive, and the image's [height, width], int32 [2], that gives float32 [4] in pixels of
        the network's input. What a crop cuts off lies outside of it.

    Raises:
        UserError: there is no such preprocessing.
    """
    name, size = _parse(preprocessing)

    def box_function(box, image_size):
        corners = tf.reshape(box, [2, 2])
        target = tf.cast(image_size if size is None else size, tf.float32)
        if name != "imagenet":
            return tf.reshape(corners * target / tf.cast(image_size, tf.float32), [4])
        removed = image_size // _CROP_DIVISOR
        scale = target / tf.cast(image_size - 2 * removed, tf.float32)
        # TensorFlow 1's resizing lays the centres of the first pixels on one another.
        corners = (corners - tf.cast(removed, tf.float32) - 0.5) * scale + 0.5
        return tf.reshape(corners, [4])

    return box_function


def training_function(
    preprocessing: Mapping[str, Any],
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The preprocessing and augmentation of an image for training.

    Args:
        preprocessing: see the module.

    Returns:
        A function of one image, uint8 [height, width, 3], and a seed, int32 [2], that gives float32
        [h, w, 3]. The same image and seed give the same result.

    Raises:
        UserError: there is no such preprocessing.
    """
    name, size = _parse(preprocessing)
    padding = _augmentation(preprocessing, "padding", _PADDING.get(name, 0))
    cutout = _augmentation(preprocessing, "cutout", 0)
    evaluate = evaluation_function(preprocessing)

    def imagenet(image, seed):
        return _symmetric_range(distort(_unit_range(image), size, seed))

    def cifar(image, seed):
        image = _flip(_shift(_resized(_float(image), size), padding, seed), seed)
        return _cut_out(tf.image.per_image_standardization(image), cutout, seed)

    def scale(image, seed):
        return _cut_out(_flip(_shift(evaluate(image), padding, seed), seed), cutout, seed)

    def unit(image, seed):
        del seed  # Nothing is random.
        return evaluate(image)

    return {"imagenet": imagenet, "cifar": cifar, "scale": scale, "unit": unit}[name]


def pixel_scaling_function(preprocessing: Mapping[str, Any]) -> Callable[[Any], tf.Tensor]:
    """What evaluation does to pixel values, without cropping and resizing.

    For programs that decide themselves at which size an image enters the network.

    Args:
        preprocessing: see the module; `image_size` is not looked at.

    Returns:
        A function of images [..., height, width, 3] with values 0 ... 255 (uint8 or float) that
        gives float32 of the same shape.

    Raises:
        UserError: there is no such preprocessing.
    """
    name, _ = _parse(preprocessing)

    def scale(images):
        images = tf.cast(images, tf.float32)
        if name == "cifar":
            return tf.image.per_image_standardization(images)
        images = images * (1 / 255)
        return images if name == "unit" else _symmetric_range(images)

    return scale


def _parse(preprocessing: Mapping[str, Any]) -> tuple[str, list[int] | None]:
    """Checks a description; returns its name and the size, [height, width] or None."""
    if not isinstance(preprocessing, Mapping) or preprocessing.get("name") not in NAMES:
        raise UserError(
            f'Expected preprocessing to be a dict whose "name" is one of {NAMES}, '
            f"received {preprocessing!r}"
        )
    name = preprocessing["name"]
    known = ["name", "image_size", *(["padding", "cutout"] if name in _PADDING else [])]
    if {key for key, value in preprocessing.items() if value is not None} - set(known):
        raise UserError(
            f"Expected preprocessing {name!r} to have no keys but {', '.join(known)}, "
            f"received {dict(preprocessing)!r}"
        )
    size = preprocessing.get("image_size")
    if size is None:
        return name, [_IMAGENET_SIZE] * 2 if name == "imagenet" else None
    sides = [size, size] if isinstance(size, int) else size
    if (
        not isinstance(sides, list | tuple)
        or len(sides) != 2
        or not all(type(side) is int and side > 0 for side in sides)
    ):
        raise UserError(
            "Expected preprocessing image_size to be a positive int or [height, width], "
            f"received {size!r}"
        )
    return name, list(sides)


def _augmentation(preprocessing: Mapping[str, Any], key: str, default: int) -> int:
    pixels = preprocessing.get(key)
    if pixels is None:
        return default
    if type(pixels) is not int or pixels < 0:
        raise UserError(
            f"Expected preprocessing {key} to be a number of pixels, 0 or more, received {pixels!r}"
        )
    return pixels


def _checked(image: tf.Tensor) -> tf.Tensor:
    image = tf.convert_to_tensor(image)
    if image.dtype != tf.uint8:
        raise ValueError(f"Expected image to be uint8, received {image.dtype.name}")
    if not image.shape.is_compatible_with([None, None, 3]):
        raise ValueError(f"Expected image to have shape [height, width, 3], received {image.shape}")
    return tf.ensure_shape(image, [None, None, 3])


def _float(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(_checked(image), tf.float32)


def _unit_range(image: tf.Tensor) -> tf.Tensor:
    return tf.image.convert_image_dtype(_checked(image), tf.float32)


def _symmetric_range(image: tf.Tensor) -> tf.Tensor:
    return (image - 0.5) * 2.0


def _central_crop(image: tf.Tensor) -> tf.Tensor:
    # TensorFlow 1 and 2 agree here: H // 16 rows go on each side, and at an odd rest the crop is
    # larger than 0.875 H.
    return tf.image.central_crop(image, _CENTRAL_FRACTION)


def _resized(image: tf.Tensor, size: list[int] | None) -> tf.Tensor:
    """Resizes with antialiasing; an image of the right size keeps its exact values."""
    if size is None or image.shape[:2] == size:
        return image
    same = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    image = tf.cond(
        same, lambda: image, lambda: tf.image.resize(image, size, "bilinear", antialias=True)
    )
    return tf.ensure_shape(image, [*size, 3])


def _shift(image: tf.Tensor, padding: int, seed: tf.Tensor) -> tf.Tensor:
    if not padding:
        return image
    padded = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
    cropped = tf.image.stateless_random_crop(padded, tf.shape(image), tf.random.fold_in(seed, 0))
    return tf.ensure_shape(cropped, image.shape)


def _flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.image.stateless_random_flip_left_right(image, tf.random.fold_in(seed, 1))


def _cut_out(image: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Sets the part of a square that lies in the image to zero; its centre is anywhere in it."""
    if not side:
        return image
    height, width, _ = tf.unstack(tf.shape(image))
    centre = tf.random.stateless_uniform([2], tf.random.fold_in(seed, 2))
    first = tf.cast(centre * tf.cast([height, width], tf.float32), tf.int32) - side // 2
    rows, columns = tf.range(height), tf.range(width)
    in_rows = (rows >= first[0]) & (rows < first[0] + side)
    in_columns = (columns >= first[1]) & (columns < first[1] + side)
    inside = in_rows[:, None] & in_columns
    return tf.where(inside[..., None], 0.0, image)
