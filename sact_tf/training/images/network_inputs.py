"""Image files as a network's inputs."""

import keras
import numpy as np

from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.detection import FasterRCNN
from sact_tf.detection import preprocessing as detection_preprocessing
from sact_tf.training.images.files import ImageFiles


def network_inputs(
    model: keras.Model, pattern: str, most: int, flag: str = "images"
) -> list[np.ndarray]:
    """Reads and preprocesses image files, as many as can be read of the first `most`.

    Args:
        model: an `ImageClassifier` or a `FasterRCNN` that knows its preprocessing.
        pattern, flag: a path, a pattern or a folder, and what it was given as: see `find_images`.
        most: files.

    Returns:
        List of float32 [H, W, C].

    Raises:
        UserError: there are no files, or the model does not know its preprocessing.
    """
    preprocessing = model.required_preprocessing()
    if isinstance(model, FasterRCNN):
        prepare = detection_preprocessing.preprocessing_function(preprocessing)
    else:
        prepare = evaluation_function(preprocessing)

    def read(path):
        image = prepare(read_image(path))
        return (image[0] if isinstance(image, tuple) else image).numpy()

    files = ImageFiles(pattern, flag)
    files.paths = files.paths[:most]
    images = [image for _, image in files.for_each(read)]
    files.report_skipped()
    return images
