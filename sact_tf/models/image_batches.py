"""The forms in which models take images: tensors, lists of one, dicts, and data sets of them."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf


def image_inputs(inputs: Any, valid: Any = None) -> tuple[Any, Any]:
    """What a model was given, as images and their valid map.

    Args:
        inputs: images [B, H, W, C]; a list or tuple of one such tensor; or a dict with `image` and
            optionally `valid`, as data sets give it. Other keys of the dict are passed over.
        valid: optional bool [B, H, W], which goes before that of the dict.

    Returns:
        `(images, valid)`, of any kind that was given.

    Raises:
        ValueError: there is no `image`, or several tensors of images.
    """
    if isinstance(inputs, Mapping):
        if "image" not in inputs:
            raise ValueError(
                "Expected inputs as a dict to have the key 'image' (and 'valid' where images are "
                f"padded), received the keys {sorted(inputs)}"
            )
        return inputs["image"], inputs.get("valid") if valid is None else valid
    if isinstance(inputs, list | tuple) and any(_rank(each) == 4 for each in inputs):
        if len(inputs) > 1:
            raise ValueError(
                "Expected one tensor of images [B, H, W, C], a list of one, or a dict with 'image' "
                f"and 'valid', received a {type(inputs).__name__} of {len(inputs)}"
            )
        inputs = inputs[0]
    return inputs, valid


def image_tensor(images: Any, channels: int, dtype: str) -> tf.Tensor:
    """Images as one tensor.

    Raises:
        ValueError: they are no numbers, or not [B, H, W, channels] with H and W of 1 or more.
    """
    images = tf.convert_to_tensor(images)
    if not (images.dtype.is_floating or images.dtype.is_integer):
        raise ValueError(f"Expected images to be numbers, received {images.dtype.name}")
    shape = images.shape
    if not shape.is_compatible_with([None, None, None, channels]) or 0 in shape[1:3]:
        one = "; one image alone is images[None]" if shape.rank == 3 else ""
        raise ValueError(
            f"Expected images of shape [batch, height, width, {channels}], received {shape}{one}"
        )
    return tf.cast(images, dtype)


class TakesImageBatches(keras.Model):
    """Base of models of images in Keras' own loops: calls and batches in all forms of images.

    `model(x)`, `fit`, `evaluate` and `predict` take what `image_inputs` takes. A batch of `fit` is
    `(x, y)` or `(x, y, sample_weight)`, or a dict with `image`, `label` and optionally `valid` and
    `sample_weight`, as the data sets of `sact_tf.data` give it.
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        images, valid = image_inputs(inputs, kwargs.pop("valid", None))
        if valid is not None:
            kwargs["valid"] = valid
        return super().__call__(images, *args, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        return super().train_step(_labelled(data))

    def test_step(self, data: Any) -> dict[str, Any]:
        return super().test_step(_labelled(data))

    def predict_step(self, data: Any) -> Any:
        return super().predict_step(_split(data))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras would average the first batch over the replicas to build from it, which boolean maps
        # do not allow: one replica's part has the same form.
        if self._distribute_strategy is not None:
            if iterator is not None:
                data_batch = next(next(iter(iterator))[2])
            data_batch = tf.nest.map_structure(
                lambda value: self._distribute_strategy.experimental_local_results(value)[0],
                _split(data_batch),
            )
        super()._maybe_symbolic_build(data_batch=data_batch)


def _split(data):
    """`(x, y, sample_weight)` of a batch; x without the keys that are no inputs."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(x, Mapping):
        if y is None:
            y, sample_weight = x.get("label"), x.get("sample_weight")
        images, valid = image_inputs(x)
        x = {"image": images} if valid is None else {"image": images, "valid": valid}
    return x, y, sample_weight


def _labelled(data):
    """`_split` of a batch that has to have labels."""
    x, y, sample_weight = _split(data)
    if y is None:
        raise ValueError(
            "Expected batches (images, labels) or dicts with 'image' and 'label', received "
            + ("a dict without 'label'" if isinstance(x, Mapping) else "images without labels")
        )
    return x, y, sample_weight


def _rank(value):
    return len(getattr(value, "shape", ()))
