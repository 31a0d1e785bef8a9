"""The Inception-style distortions that the paper's ImageNet networks were trained with.

Reference: Szegedy et al., Going deeper with convolutions (arXiv 1409.4842), section 6; Howard, Some
improvements on deep convolutional neural network based image classification (arXiv 1312.5402).
"""

import tensorflow as tf

_AREA_RANGE = (0.05, 1.0)
_ASPECT_RATIO_RANGE = (0.75, 1.33)
_MIN_OBJECT_COVERED = 0.1
_MAX_ATTEMPTS = 100
_BRIGHTNESS_DELTA = 32 / 255
_HUE_DELTA = 0.2
_FACTOR_RANGE = (0.5, 1.5)
_ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("saturation", "brightness", "contrast", "hue"),
    ("contrast", "hue", "brightness", "saturation"),
    ("hue", "saturation", "contrast", "brightness"),
)


def distort(image: tf.Tensor, size: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Crops a random box, resizes it by a random method, flips it, jitters its colours.

    Args:
        image: float32 [height, width, 3] in [0, 1].
        size: height and width of the result in pixels.
        seed: int32 [2]; the only source of randomness.

    Returns:
        float32 [size[0], size[1], 3] in [0, 1].
    """
    crop_seed, resize_seed, flip_seed, color_seed = tf.unstack(tf.random.split(seed, 4), num=4)
    image = _random_crop(image, crop_seed)
    image = _resize_by_random_method(image, size, resize_seed)
    image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    image = _jitter_colors(image, color_seed)
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0), [*size, 3])


def _random_crop(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed,
        min_object_covered=_MIN_OBJECT_COVERED,
        aspect_ratio_range=_ASPECT_RATIO_RANGE,
        area_range=_AREA_RANGE,
        max_attempts=_MAX_ATTEMPTS,
    )
    return tf.ensure_shape(tf.slice(image, begin, size), [None, None, 3])


def _resize_by_random_method(image: tf.Tensor, size: list[int], seed: tf.Tensor) -> tf.Tensor:
    # TensorFlow 1's resizing, like evaluation: no half-pixel centres, no antialias.
    batch = image[None]
    methods = (
        tf.raw_ops.ResizeBilinear,
        tf.raw_ops.ResizeNearestNeighbor,
        tf.raw_ops.ResizeBicubic,
        tf.raw_ops.ResizeArea,
    )
    return _random_case(
        seed, [lambda method=method: method(images=batch, size=size)[0] for method in methods]
    )


def _jitter_colors(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    seeds = tf.unstack(tf.random.split(seed, 5), num=5)
    jitters = {
        "brightness": lambda x: tf.image.stateless_random_brightness(
            x, _BRIGHTNESS_DELTA, seeds[0]
        ),
        "saturation": lambda x: tf.image.stateless_random_saturation(x, *_FACTOR_RANGE, seeds[1]),
        "hue": lambda x: tf.image.stateless_random_hue(x, _HUE_DELTA, seeds[2]),
        "contrast": lambda x: tf.image.stateless_random_contrast(x, *_FACTOR_RANGE, seeds[3]),
    }

    def in_order(order):
        jittered = image
        for name in order:
            jittered = jitters[name](jittered)
        return jittered

    return _random_case(seeds[4], [lambda order=order: in_order(order) for order in _ORDERS])


def _random_case(seed: tf.Tensor, cases: list) -> tf.Tensor:
    chosen = tf.random.stateless_uniform([], seed, maxval=len(cases), dtype=tf.int32)
    return tf.switch_case(chosen, cases)
