"""The images that a trained network is measured on."""

from sact_tf.detection import FasterRCNN
from sact_tf.errors import UserError
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.loading import load_config
from sact_tf.training.detection import builders as detection_builders
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.run_directory.directory import home_of


def held_out(model, path, most):
    """The first held-out images of the run that a model is from, [H, W, 3] each, preprocessed.

    Raises:
        UserError: the model at this path belongs to no run.
    """
    file = home_of(path) / "config.yaml"
    if not file.exists():
        raise UserError(f"--images is needed: {file.parent} is no run, whose images are known")
    if isinstance(model, FasterRCNN):
        data = detection_builders.build_data(load_config(DetectionConfig, file).data)
    else:
        data = builders.build_data(load_config(ClassificationConfig, file).data)
    return [batch["image"].numpy()[0] for batch in data.evaluation(1).take(most)]
