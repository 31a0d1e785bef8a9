"""What a detector finds on image files, and what it spends on them."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from sact_tf.data.images import read_image
from sact_tf.detection.preprocessing import preprocessing_function
from sact_tf.errors import UserError


@dataclasses.dataclass
class DetectedImage:
    """An image and what was found on it.

    Attributes:
        path: the file.
        size: (height, width) of the picture in pixels.
        input_size: (height, width) at which it entered the network.
        boxes: float64 [N, 4], (ymin, xmin, ymax, xmax) in pixels of the picture.
        labels: int [N].
        scores: float [N], falling.
        ponder_map: ponder cost of the feature extractor, [h, w].
        flops: FLOPs of the feature extractor.
        plain_flops: FLOPs of the same extractor without halting.
    """

    path: pathlib.Path
    size: tuple[int, int]
    input_size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    ponder_map: np.ndarray
    flops: int
    plain_flops: int

    @property
    def cost(self) -> float:
        """Ponder cost, mean over positions."""
        return float(self.ponder_map.mean())


class ImageDetector:
    """Runs a detector on image files, at the size it was trained for.

    Args:
        model: a `FasterRCNN` with its preprocessing.
        min_score: detections below are left out.

    Raises:
        UserError: the model was saved without its preprocessing.
    """

    def __init__(self, model, min_score: float):
        if model.preprocessing is None:
            raise UserError(
                "the model does not say how images become its input: its preprocessing is None "
                "(give FasterRCNN(..., preprocessing=...) when you build it)"
            )
        self._model = model
        self._min_score = min_score
        self._preprocess = preprocessing_function(model.preprocessing)
        self._run = tf.function(
            lambda image: model.forward(image, training=False),
            input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)],
        )

    def __call__(self, path: pathlib.Path) -> DetectedImage:
        """Reads and runs one file.

        Raises:
            UserError: it is no readable image.
        """
        picture = read_image(path)
        image, scale = self._preprocess(tf.constant(picture))
        outputs = self._run(image[tf.newaxis])
        scores = outputs["scores"][0].numpy()
        shown = (scores >= self._min_score) & (outputs["classes"][0].numpy() >= 0)
        height, width = picture.shape[:2]
        boxes = outputs["boxes"][0].numpy()[shown] / np.tile(scale.numpy(), 2)
        size = tuple(int(side) for side in image.shape[:2])
        return DetectedImage(
            path=path,
            size=(height, width),
            input_size=size,
            boxes=np.clip(boxes, 0, [height, width, height, width]),
            labels=outputs["classes"][0].numpy()[shown],
            scores=scores[shown],
            ponder_map=outputs["ponder_cost_map"][0].numpy().astype(np.float16),
            flops=int(outputs["flops"][0]),
            plain_flops=self._model.plain_flops(*size),
        )

    def name(self, label: int) -> str:
        """Name (or number) of a class."""
        names = self._model.class_names
        return str(label) if names is None else names[label]
