"""A batch of encoded images to one tensor, in a graph.

B images; H W the largest height and width among them after preprocessing.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from sact_tf.serving.export.image_decoding import decode_image


class ImageBatch(NamedTuple):
    """Images of different sizes, padded at the bottom and right.

    Attributes:
        images: float32 [B, H, W, 3].
        valid: bool [B, H, W], what is not padding; None where all images have one size.
        sizes: int32 [B, 2], height and width of each.
        scales: float32 [B, 2], pixels of the network's input per pixel of the image (y, x).
    """

    images: tf.Tensor
    valid: tf.Tensor | None
    sizes: tf.Tensor
    scales: tf.Tensor


def decode_batch(
    image_bytes: tf.Tensor, preprocess: Callable[[tf.Tensor], tf.Tensor | tuple]
) -> ImageBatch:
    """Decodes, preprocesses and pads.

    Args:
        image_bytes: string [B].
        preprocess: function of one image, uint8 [h, w, 3], that gives the network's input, float32;
            or that and its scale (see `ImageBatch`), float32 [2]. If it gives every image one
            static size, nothing is padded.
    """

    def load(data):
        decoded = decode_image(data)
        image = preprocess(decoded)
        if isinstance(image, tuple):
            image, scale = image
        else:
            scale = tf.cast(tf.shape(image)[:2], tf.float32)
            scale /= tf.cast(tf.shape(decoded)[:2], tf.float32)
        return image, tf.shape(image)[:2], scale

    def load_ragged(data):
        image, size, scale = load(data)
        return tf.RaggedTensor.from_tensor(image, ragged_rank=1), size, scale

    numbers = tf.TensorSpec([2], tf.int32), tf.TensorSpec([2], tf.float32)
    shape = output_shape(preprocess)
    if shape.is_fully_defined():
        signature = (tf.TensorSpec(shape, tf.float32), *numbers)
        images, sizes, scales = tf.map_fn(load, image_bytes, fn_output_signature=signature)
        return ImageBatch(images, None, sizes, scales)
    ragged = tf.RaggedTensorSpec([None, None, 3], tf.float32, ragged_rank=1)
    images, sizes, scales = tf.map_fn(
        load_ragged, image_bytes, fn_output_signature=(ragged, *numbers)
    )
    images = images.to_tensor()
    height, width = tf.unstack(tf.shape(images)[1:3])
    valid = (
        tf.sequence_mask(sizes[:, 0], height)[:, :, tf.newaxis]
        & tf.sequence_mask(sizes[:, 1], width)[:, tf.newaxis]
    )
    return ImageBatch(images, valid, sizes, scales)


def output_shape(preprocess: Callable) -> tf.TensorShape:
    """The static shape of what a preprocessing makes of one image of any size."""
    function = tf.function(preprocess, autograph=False).get_concrete_function(
        tf.TensorSpec([None, None, 3], tf.uint8)
    )
    return tf.nest.flatten(function.structured_outputs)[0].shape
