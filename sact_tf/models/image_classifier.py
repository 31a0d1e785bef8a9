"""Classifier on a residual backbone, with its own reading of what the halting decided."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers import BatchNormalization, Convolution
from sact_tf.layers.classifier_head import ClassifierHead
from sact_tf.models.adaptive_model import AdaptiveModel
from sact_tf.models.frozen import freeze, frozen_paths
from sact_tf.models.image_batches import TakesImageBatches
from sact_tf.models.resnet_backbone import ResNetBackbone
from sact_tf.models.warm_start import copy_classes, copy_layers
from sact_tf.models.weight_decay import weight_decay_loss

LOSS_PARTS = ("cross_entropy", "ponder_loss", "weight_decay")


@keras.saving.register_keras_serializable(package="sact_tf")
class ImageClassifier(AdaptiveModel, TakesImageBatches):
    """Logits of an image from the last block of a `ResNetBackbone`.

    Head of the ImageNet networks (bottleneck units): batch normalization, ReLU, global average
    pool, 1x1 convolution. In the CIFAR networks (basic units) the pool comes first.

    `fit` minimizes the compiled loss + ponder loss + weight decay, and logs the three apart
    (`cross_entropy` is the compiled loss, then `ponder_loss` and `weight_decay`) beside their sum,
    `loss`. Batches are `(images, labels)` or dicts with `image`, `label` and optionally `valid`.

    Args:
        backbone: a `ResNetBackbone`.
        num_classes: number of logits.
        class_names: optional list of str, one for each class; saved with the model.
        preprocessing: optional JSON-able dict that tells how an image becomes this model's input
            (see `sact_tf.data.preprocessing`); saved with the model.
        frozen: as in `ResNetBackbone`, for the head: "head", "head/logits" or "head/postnorm".

    Call arguments:
        inputs, training, valid: as in `ResNetBackbone`.

    Returns:
        Logits [B, num_classes], float32 (float64 if the model is).

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from sact_tf.models import ImageClassifier, ResNetBackbone
        >>> backbone = ResNetBackbone.cifar(units_per_block=2, halting="sact")
        >>> model = ImageClassifier(backbone, num_classes=10)
        >>> model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
        >>> images = np.random.default_rng(0).normal(size=[8, 32, 32, 3]).astype("float32")
        >>> history = model.fit(images, np.arange(8), verbose=0)
        >>> sorted(history.history)
        ['cross_entropy', 'loss', 'ponder_loss', 'weight_decay']
        >>> outputs = model.ponder(images)
        >>> outputs["logits"].shape, outputs["ponder_cost_map"].shape
        (TensorShape([8, 10]), TensorShape([8, 32, 32]))
    """

    answers = ("logits",)

    def __init__(
        self,
        backbone: ResNetBackbone,
        num_classes: int,
        class_names: Sequence[str] | None = None,
        preprocessing: dict[str, Any] | None = None,
        frozen: Sequence[str] = (),
        name: str = "image_classifier",
        trainable: bool = True,
    ):
        _check(num_classes, class_names)
        config = backbone.get_config()
        self.backbone = backbone
        self.head = ClassifierHead(
            num_classes,
            pools_first=config["unit"] == "basic",
            negative_slope=config["negative_slope"],
            weight_decay=config["weight_decay"],
            batch_norm=backbone.batch_norm,
            name="head",
            dtype=backbone.dtype_policy,
        )
        # On the backbone's own graph, so that its features lie between images and logits.
        logits = self.head(backbone.features[backbone.block_names[-1]])
        super().__init__(inputs=backbone.input, outputs=logits, name=name, trainable=trainable)
        self.dtype_policy = backbone.dtype_policy
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.preprocessing = preprocessing
        freeze([self.head], frozen)
        self._loss_parts = {part: keras.metrics.Mean(name=part) for part in LOSS_PARTS}

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The input, the backbone and the head, as saved files have them."""
        inputs = [layer for layer in super().layers if isinstance(layer, keras.layers.InputLayer)]
        return [*inputs, self.backbone, self.head]

    @property
    def postnorm(self) -> BatchNormalization:
        """The batch normalization of the head."""
        return self.head.postnorm

    @property
    def logits(self) -> Convolution:
        """The 1x1 convolution of the head."""
        return self.head.logits

    def forward(
        self, images: tf.Tensor, valid: tf.Tensor | None = None, training: bool | None = None
    ) -> dict[str, Any]:
        """Logits and what the halting decided, in one differentiable pass.

        Args:
            images, valid, training: as in the call.

        Returns:
            Dict of `logits` [B, num_classes], `flops` (int64 [B], all convolutions), and
            `features`, `halting`, `valid`, `ponder_cost` and `ponder_loss` of
            `ResNetBackbone.forward`.
        """
        outputs = self.backbone.forward(images, valid, training)
        last = self.backbone.block_names[-1]
        logits = self.head(
            outputs["features"][last], training=training, valid=outputs["valid"][last]
        )
        return {**outputs, "logits": logits, "flops": outputs["flops"] + self.head.flops()}

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: None = None,
        valid: tf.Tensor | None = None,
    ) -> tf.Tensor:
        del mask
        return self.forward(inputs, valid, training)["logits"]

    def compute_output_spec(
        self,
        inputs: keras.KerasTensor,
        training: bool | None = None,
        mask: None = None,
        valid: keras.KerasTensor | None = None,
    ) -> keras.KerasTensor:
        return keras.Operation.compute_output_spec(self, inputs, training=training, valid=valid)

    @tf.autograph.experimental.do_not_convert
    def plain_flops(self, height: int | tf.Tensor, width: int | tf.Tensor) -> int | tf.Tensor:
        """`ResNetBackbone.plain_flops` and the head's."""
        with tf.init_scope():
            head = int(self.head.flops())
        return self.backbone.plain_flops(height, width) + head

    def warm_start(self, source: AdaptiveModel) -> dict[str, str]:
        """Copies the weights of another classifier, all but the halting scores.

        Where both have class names, the logits are copied class by class, by name; else as a whole
        if the number of classes agrees. See `ResNetBackbone.warm_start` for the rest.

        Args:
            source: an `ImageClassifier`, or another `AdaptiveModel` for the backbone alone.

        Returns:
            Dict of the places that kept their own weights, as `block1/unit_2`, with the reason.

        Raises:
            UserError: nothing of the backbone fits.
        """
        uncovered = self.backbone.warm_start(source)
        if not isinstance(source, ImageClassifier):
            return uncovered | {"head": "the source has none"}
        ours, theirs = self.class_names, source.class_names
        if ours is not None and theirs is not None and ours != theirs:
            uncovered |= copy_classes(
                {"head/logits": self.logits}, {"head/logits": source.logits}, ours, theirs
            )
            return uncovered | copy_layers(
                {"head/postnorm": self.postnorm}, {"head/postnorm": source.postnorm}
            )
        if source.num_classes != self.num_classes:
            uncovered["head/logits"] = (
                f"{source.num_classes} classes there, {self.num_classes} here"
            )
            return uncovered | copy_layers(
                {"head/postnorm": self.postnorm}, {"head/postnorm": source.postnorm}
            )
        return uncovered | copy_layers({"head": self.head}, {"head": source.head})

    def compute_loss(
        self,
        x: tf.Tensor | None = None,
        y: tf.Tensor | None = None,
        y_pred: Any = None,
        sample_weight: tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """This replica's share of the compiled loss + ponder loss + weight decay."""
        del x, training
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        added = [loss for layer in self._flatten_layers() for loss in layer._get_own_losses()]
        parts = {"ponder_loss": sum(added), "weight_decay": weight_decay_loss(self)}
        if self._compile_loss is not None:
            # Keras has divided it by the number of replicas.
            parts["cross_entropy"] = replicas * self._compile_loss(y, y_pred, sample_weight)
        parts = {name: tf.cast(value, y_pred.dtype) for name, value in parts.items()}
        for name, value in parts.items():
            self._loss_parts[name].update_state(value, sample_weight=tf.shape(y_pred)[0])
        return tf.add_n(list(parts.values())) / replicas

    def get_config(self) -> dict[str, Any]:
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_classes": self.num_classes,
            "class_names": self.class_names,
            "preprocessing": self.preprocessing,
            "frozen": frozen_paths([self.head]),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "ImageClassifier":
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})


def _check(num_classes, class_names):
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"Expected num_classes to be a positive int, received {num_classes!r}")
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(
            f"Expected one class name for each of the {num_classes} classes, received "
            f"{len(class_names)}"
        )
