"""How each kind of model answers as a SavedModel.

B images, H W the network's input, K classes listed, C classes, N detections at most.
"""

import abc
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from sact_tf.data.preprocessing import evaluation_function, pixel_scaling_function
from sact_tf.detection import FasterRCNN
from sact_tf.detection.preprocessing import preprocessing_function
from sact_tf.errors import UserError
from sact_tf.models import AdaptiveModel, ImageClassifier
from sact_tf.serving.export.class_names import ClassNames
from sact_tf.serving.export.image_batch import decode_batch, output_shape

_ENCODED = tf.TensorSpec([None], tf.string, "image_bytes")


class ExportedKind(abc.ABC):
    """The signatures of a model, and what they must compute.

    - `serving_default`: `image_bytes` (string [B], encoded images of any sizes) -> the kind's
      `answer`.
    - `images`: `images` (float32 [B, H, W, 3], preprocessed) -> the answer and `details`.
    - `ponder_map`: `image_bytes` -> these, `flops` and `plain_flops` (int64 [B]; of the same
      network without halting), `ponder_cost_map` ([B, H, W]; [B, 1, 1] without positions to
      choose), `image_size` (int32 [B, 2], what of the map is the image if others are larger), and
      for each block `block1_num_units` (int32 [B, h, w]) and `block1_ponder_cost`.

    Args:
        model: the model.
        preprocessing: how an image becomes its input; None takes the model's.
        top: how many classes a classifier lists.

    Attributes:
        name: of the kind.
        details: outputs of the network that are given as they are.

    Raises:
        UserError: there is no preprocessing, or it doesn't fit.
    """

    name: str
    details: tuple[str, ...]

    def __init__(self, model: AdaptiveModel, preprocessing: Mapping[str, Any] | None, top: int):
        self.preprocessing = (
            model.required_preprocessing() if preprocessing is None else preprocessing
        )
        self.model = model
        self.top = top
        self._preprocess = self.preprocessing_function()

    @abc.abstractmethod
    def preprocessing_function(self) -> Callable[[tf.Tensor], Any]:
        """The preprocessing as a function, see `decode_batch`."""

    def ponder(
        self, model: AdaptiveModel, images: tf.Tensor, valid: tf.Tensor | None = None
    ) -> dict[str, Any]:
        """See `AdaptiveModel.ponder`."""
        return model.ponder(images, valid)

    @abc.abstractmethod
    def answer(
        self,
        outputs: Mapping[str, tf.Tensor],
        class_names: Callable[[tf.Tensor], tf.Tensor],
        scales: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """What the kind is for.

        Args:
            outputs: of `model.forward`.
            class_names: function of labels that gives the model's names of them.
            scales: see `ImageBatch`; None where images came preprocessed.
        """

    @property
    def input_size(self) -> list[int] | None:
        """[height, width] that preprocessing brings every image to, None if images differ."""
        shape = output_shape(self._preprocess)
        return shape[:2].as_list() if shape.is_fully_defined() else None

    def signatures(
        self, model: AdaptiveModel, class_names: ClassNames
    ) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """tf.functions by name, with their input signatures, for `model` or a copy of it."""
        preprocessed = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")

        @tf.function(input_signature=[_ENCODED], autograph=False)
        def serve(image_bytes):
            batch = decode_batch(image_bytes, self._preprocess)
            outputs = model.forward(batch.images, batch.valid, training=False)
            return self.answer(outputs, class_names, batch.scales)

        @tf.function(input_signature=[preprocessed], autograph=False)
        def serve_images(images):
            outputs = model.forward(images, training=False)
            return self.answer(outputs, class_names) | self._details(outputs)

        @tf.function(input_signature=[_ENCODED], autograph=False)
        def serve_ponder_map(image_bytes):
            batch = decode_batch(image_bytes, self._preprocess)
            outputs = self.ponder(model, batch.images, batch.valid)
            return {
                **self.answer(outputs, class_names, batch.scales),
                **self._details(outputs),
                "flops": outputs["flops"],
                "plain_flops": tf.map_fn(
                    lambda size: model.plain_flops(*tf.unstack(size)),
                    batch.sizes,
                    fn_output_signature=tf.int64,
                ),
                "ponder_cost_map": outputs["ponder_cost_map"],
                "image_size": batch.sizes,
                **self._blocks(outputs, "num_units", "ponder_cost"),
            }

        return {
            "serving_default": serve,
            "images": serve_images,
            "ponder_map": serve_ponder_map,
        }

    def expected(self, picture: tf.Tensor) -> dict[str, Any]:
        """What the model in memory makes of one picture, for `check_export`.

        Args:
            picture: uint8 [h, w, 3].

        Returns:
            Some outputs of `ponder_map`, without the batch axis.
        """
        image = tf.nest.flatten(self._preprocess(picture))[0]
        outputs = self.ponder(self.model, image[tf.newaxis])
        wanted = {
            **self._details(outputs),
            "flops": outputs["flops"],
            "ponder_cost_map": outputs["ponder_cost_map"],
            **self._blocks(outputs, "num_units"),
        }
        plain = self.model.plain_flops(*image.shape[:2])
        return {**{name: value[0] for name, value in wanted.items()}, "plain_flops": plain}

    def answer_to_pixels(
        self, model: AdaptiveModel, images: tf.Tensor, ponder_map: bool
    ) -> dict[str, tf.Tensor]:
        """What `images` or `ponder_map` answer to images of one size that are not preprocessed.

        Args:
            model: `model` or a copy of it.
            images: float32 [B, H, W, 3], values 0 ... 255. Values are scaled, nothing is resized.
            ponder_map: whether to tell what was spent.

        Returns:
            Dict of the signature's outputs, without `classes` and `image_size`.
        """
        scaled = pixel_scaling_function({"name": self.preprocessing["name"]})(images)
        outputs = self.ponder(model, scaled)
        answer = self.answer(outputs, tf.identity) | self._details(outputs)
        del answer["classes"]
        if not ponder_map:
            return answer
        batch, height, width, _ = tf.unstack(tf.shape(images))
        return {
            **answer,
            "flops": outputs["flops"],
            "plain_flops": tf.fill([batch], model.plain_flops(height, width)),
            "ponder_cost_map": outputs["ponder_cost_map"],
            **self._blocks(outputs, "num_units", "ponder_cost"),
        }

    def _details(self, outputs):
        return {name: outputs[name] for name in self.details}

    def _blocks(self, outputs, *keys):
        names = self.model.block_names
        return {f"{name}_{key}": outputs[name][key] for name in names for key in keys}


class Classifier(ExportedKind):
    """An `ImageClassifier`.

    Its answer: `classes` (string [B, K], names by falling score), `labels` (int32 [B, K], their
    numbers), `scores` (float32 [B, K], probabilities). Its details: `logits` [B, C].
    """

    name = "classifier"
    details = ("logits",)

    def preprocessing_function(self) -> Callable[[tf.Tensor], Any]:
        return evaluation_function(self.preprocessing)

    def answer(
        self,
        outputs: Mapping[str, tf.Tensor],
        class_names: Callable[[tf.Tensor], tf.Tensor],
        scales: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        chances = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))
        scores, labels = tf.math.top_k(chances, min(self.top, chances.shape[-1]))
        return {"classes": class_names(labels), "labels": labels, "scores": scores}


class Detector(ExportedKind):
    """A `FasterRCNN`.

    Its answer: `boxes` (float32 [B, N, 4], [ymin, xmin, ymax, xmax] in pixels of the image that was
    sent), `classes` (string [B, N], names by falling score), `labels` (int32 [B, N], their
    numbers), `scores` [B, N], `num_detections` (int32 [B]; what comes after is filled with 0, ""
    and -1). FLOPs and maps are those of its feature extractor.
    """

    name = "detector"
    # Of detections that are as good as equal either may come first: the check compares no boxes.
    details = ("scores",)

    def preprocessing_function(self) -> Callable[[tf.Tensor], Any]:
        return preprocessing_function(self.preprocessing)

    def ponder(
        self, model: AdaptiveModel, images: tf.Tensor, valid: tf.Tensor | None = None
    ) -> dict[str, Any]:
        # Here the map has the image's size also where no position decides for itself.
        outputs = model.forward(images, valid, training=False)
        return {**outputs, **outputs["halting"]}

    def answer(
        self,
        outputs: Mapping[str, tf.Tensor],
        class_names: Callable[[tf.Tensor], tf.Tensor],
        scales: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        boxes = outputs["boxes"]
        if scales is not None:
            boxes /= tf.concat([scales, scales], axis=1)[:, tf.newaxis]
        return {
            "boxes": boxes,
            "classes": class_names(outputs["classes"]),
            "labels": outputs["classes"],
            "scores": outputs["scores"],
            "num_detections": outputs["num_detections"],
        }


def kind_of(
    model: AdaptiveModel, preprocessing: Mapping[str, Any] | None, top: int
) -> ExportedKind:
    """Finds the kind of a model.

    Raises:
        UserError: such models cannot be exported, or see `ExportedKind`.
    """
    for model_type, kind in ((ImageClassifier, Classifier), (FasterRCNN, Detector)):
        if isinstance(model, model_type):
            return kind(model, preprocessing, top)
    raise UserError(
        f"Expected an ImageClassifier or a FasterRCNN to export, received a {type(model).__name__}"
    )
