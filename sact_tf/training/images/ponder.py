"""What a classifier spends on photographs of any size, map by map."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import pixel_scaling_function
from sact_tf.errors import UserError

# Pictures are for looking at; a camera's full resolution would make pages of hundreds of megabytes.
_LONGEST_SHOWN = 1000


@dataclasses.dataclass
class PonderedImage:
    """An image and what the network spent on it.

    Attributes:
        path: the file.
        input_size: (height, width) at which it entered the network.
        block_maps: ponder cost of each block, float32 [h, w]; [1, 1] where decisions are per image.
        total_map: their sum at the size of the network's input, or [1, 1].
        num_units: mean number of units per position, by block.
        flops: FLOPs spent.
        plain_flops: FLOPs of the same network without halting.
        prediction: name (or number) of the most probable class.
    """

    path: pathlib.Path
    input_size: tuple[int, int]
    block_maps: dict[str, np.ndarray]
    total_map: np.ndarray
    num_units: dict[str, float]
    flops: int
    plain_flops: int
    prediction: str

    @property
    def cost(self) -> float:
        """Total ponder cost, mean over positions."""
        return float(self.total_map.mean())


class ImagePonder:
    """Runs a classifier on image files, the aspect ratio kept and nothing cropped.

    Args:
        model: an `ImageClassifier` with its preprocessing.
        short_side: pixels that the shorter side is resized to; 0 for the file's own size; None for
            the size that the model was trained with.
        long_side: pixels that the longer side is limited to.

    Raises:
        UserError: the model was saved without its preprocessing.
    """

    def __init__(self, model, short_side: int | None = None, long_side: int = 1600):
        if model.preprocessing is None:
            raise UserError(
                "the model does not say how images become its input: its preprocessing is None "
                "(give ImageClassifier(..., preprocessing=...) when you build it)"
            )
        self._model = model
        self._scale = pixel_scaling_function(model.preprocessing)
        self._short_side = _trained_side(model) if short_side is None else short_side
        self._long_side = long_side
        self._ponder = tf.function(
            model.ponder, input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)]
        )

    def __call__(self, path: pathlib.Path) -> PonderedImage:
        """Reads and runs one file.

        Raises:
            UserError: it is no readable image.
        """
        image = read_image(path)
        size = self._input_size(*image.shape[:2])
        outputs = self._ponder(self._scale(_resized(image, size))[tf.newaxis])
        names = self._model.backbone.block_names
        best = int(tf.argmax(outputs["logits"][0]))
        classes = self._model.class_names
        return PonderedImage(
            path=path,
            input_size=size,
            block_maps={name: outputs[name]["ponder_cost"][0].numpy() for name in names},
            total_map=outputs["ponder_cost_map"][0].numpy(),
            num_units={name: float(outputs[name]["num_units"].numpy().mean()) for name in names},
            flops=int(outputs["flops"][0]),
            plain_flops=self._model.plain_flops(*size),
            prediction=str(best) if classes is None else classes[best],
        )

    def _input_size(self, height: int, width: int) -> tuple[int, int]:
        scale = self._short_side / min(height, width) if self._short_side else 1.0
        scale = min(scale, self._long_side / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


def _trained_side(model) -> int:
    size = model.preprocessing.get("image_size")
    if size is None:
        return 224 if model.preprocessing["name"] == "imagenet" else 0
    return size if isinstance(size, int) else min(size)


def _resized(image: np.ndarray, size: tuple[int, int]) -> tf.Tensor:
    if image.shape[:2] == size:
        return tf.cast(image, tf.float32)
    # Photographs shrink by ten and more: without antialiasing they turn into noise.
    return tf.image.resize(image, size, antialias=True)


def read_shown(path: pathlib.Path) -> np.ndarray:
    """Reads an image file for pictures: uint8 [H, W, 3], at most 1000 pixels long.

    Raises:
        UserError: it is no readable image.
    """
    image = read_image(path)
    scale = _LONGEST_SHOWN / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[:2]]
    return np.round(tf.image.resize(image, size, antialias=True).numpy()).astype(np.uint8)
