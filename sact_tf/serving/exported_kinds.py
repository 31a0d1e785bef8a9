"""What export must know of each kind of model."""

import abc

import keras
import tensorflow as tf

from sact_tf.data.preprocessing import evaluation_function
from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier
from sact_tf.serving.classifier_signatures import classifier_signatures
from sact_tf.serving.detector_signatures import detector_signatures
from sact_tf.serving.image_batch import output_shape


class ExportedKind(abc.ABC):
    """One kind of model.

    Args:
        model: the model.
        preprocessing: how an image becomes its input; None takes the model's.
        top: how many classes a classifier lists.

    Raises:
        UserError: there is no preprocessing, or it doesn't fit.
    """

    name: str

    def __init__(self, model: keras.Model, preprocessing, top: int):
        self.preprocessing = (
            model.required_preprocessing() if preprocessing is None else preprocessing
        )
        self.model = model
        self.top = top

    @property
    @abc.abstractmethod
    def input_size(self) -> list[int] | None:
        """[height, width] that preprocessing brings every image to, None if images differ."""

    @abc.abstractmethod
    def signatures(self, model, class_names):
        """tf.functions by name, for `model` or a copy of it."""

    @abc.abstractmethod
    def expected(self, picture):
        """What the model makes of one picture, for `check_export`."""


class Classifier(ExportedKind):
    name = "classifier"

    def __init__(self, model, preprocessing, top):
        super().__init__(model, preprocessing, top)
        self._preprocess = evaluation_function(self.preprocessing)

    @property
    def input_size(self):
        shape = output_shape(self._preprocess)
        return shape[:2].as_list() if shape.is_fully_defined() else None

    def signatures(self, model, class_names):
        return classifier_signatures(model, self.preprocessing, class_names, self.top)

    def expected(self, picture):
        image = self._preprocess(picture)
        outputs = self.model.ponder(image[tf.newaxis])
        wanted = {
            "logits": outputs["logits"],
            "flops": outputs["flops"],
            "ponder_cost_map": outputs["ponder_cost_map"],
        }
        for name in self.model.backbone.block_names:
            wanted[f"{name}_num_units"] = outputs[name]["num_units"]
        plain = self.model.plain_flops(*image.shape[:2])
        return {**{name: value[0] for name, value in wanted.items()}, "plain_flops": plain}


class Detector(ExportedKind):
    name = "detector"

    def __init__(self, model, preprocessing, top):
        from sact_tf.detection.preprocessing import preprocessing_function

        super().__init__(model, preprocessing, top)
        self._preprocess = preprocessing_function(self.preprocessing)

    @property
    def input_size(self):
        return None

    def signatures(self, model, class_names):
        return detector_signatures(model, self.preprocessing, class_names)

    def expected(self, picture):
        image, _ = self._preprocess(picture)
        outputs = self.model.forward(image[tf.newaxis], training=False)
        wanted = {
            # Of detections that are as good as equal either may come first: only the scores.
            "scores": outputs["scores"],
            "flops": outputs["flops"],
            "ponder_cost_map": outputs["ponder_cost_map"],
        }
        for name, halting in outputs["halting"].items():
            wanted[f"{name}_num_units"] = halting["num_units"]
        plain = self.model.plain_flops(*image.shape[:2])
        return {**{name: value[0] for name, value in wanted.items()}, "plain_flops": plain}


def kind_of(model: keras.Model, preprocessing, top: int) -> ExportedKind:
    """Finds the kind of a model.

    Raises:
        UserError: such models cannot be exported, or see `ExportedKind`.
    """
    from sact_tf.detection import FasterRCNN

    for model_type, kind in ((ImageClassifier, Classifier), (FasterRCNN, Detector)):
        if isinstance(model, model_type):
            return kind(model, preprocessing, top)
    raise UserError(
        f"Expected an ImageClassifier or a FasterRCNN to export, received a {type(model).__name__}"
    )
