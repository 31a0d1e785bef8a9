"""Image files as a network's inputs."""

from typing import Any

import keras
import numpy as np

from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.detection import FasterRCNN
from sact_tf.detection import preprocessing as detection_preprocessing
from sact_tf.training.images.files import ImageFiles


def network_inputs(
    model: keras.Model,
    pattern: str,
    most: int,
    flag: str = "images",
    preprocessing: dict[str, Any] | None = None,
) -> list[np.ndarray]:
    """Reads and preprocesses image files: at most `most`, taken evenly from the sorted ones.

    A folder of classes would otherwise give images of its first class only.

    Args:
        model: an `ImageClassifier` or a `FasterRCNN`.
        pattern, flag: a path, a pattern or a folder, and what it was given as: see `find_images`.
        most: files.
        preprocessing: in place of the model's own.

    Returns:
        List of float32 [H, W, C].

    Raises:
        UserError: there are no files, or no preprocessing is known.
    """
    preprocessing = preprocessing or model.required_preprocessing()
    if isinstance(model, FasterRCNN):
        prepare = detection_preprocessing.preprocessing_function(preprocessing)
    else:
        prepare = evaluation_function(preprocessing)

    def read(path):
        image = prepare(read_image(path))
        return (image[0] if isinstance(image, tuple) else image).numpy()

    files = ImageFiles(pattern, flag)
    chosen = np.linspace(0, len(files.paths) - 1, min(most, len(files.paths)))
    files.paths = [files.paths[index] for index in chosen.round().astype(int)]
    images = [image for _, image in files.for_each(read)]
    files.report_skipped()
    return images
