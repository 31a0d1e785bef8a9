"""Classifier on a residual backbone, with its own reading of what the halting decided."""

import keras
import tensorflow as tf

from sact_tf.layers.classifier_head import ClassifierHead
from sact_tf.models.adaptive_model import AdaptiveModel
from sact_tf.models.frozen import freeze, frozen_paths
from sact_tf.models.walk import weight_decay_loss
from sact_tf.models.warm_start import copy_layers

LOSS_PARTS = ("cross_entropy", "ponder_loss", "weight_decay")


@keras.saving.register_keras_serializable(package="sact_tf")
class ImageClassifier(AdaptiveModel, keras.Model):
    """Logits of an image from the last block of a `ResNetBackbone`.

    Head of the ImageNet networks (bottleneck units): batch normalization, ReLU, global average
    pool, 1x1 convolution. In the CIFAR networks (basic units) the pool comes first.

    `fit` minimizes the compiled loss + ponder loss + weight decay, and logs the three apart
    (`cross_entropy` is the compiled loss, then `ponder_loss` and `weight_decay`) beside their sum,
    `loss`.

    Args:
        backbone: a `ResNetBackbone`.
        num_classes: number of logits.
        class_names: optional list of str, one for each class; saved with the model.
        preprocessing: optional JSON-able dict that tells how an image becomes this model's input
            (see `sact_tf.data.preprocessing`); saved with the model.
        frozen: as in `ResNetBackbone`, for the head: "head", "head/logits" or "head/postnorm".

    Call arguments:
        inputs: images [B, H, W, C], preprocessed.
        training, valid: as in `ResNetBackbone`.

    Returns:
        Logits [B, num_classes], float32 (float64 if the model is).
    """

    answers = ("logits",)

    def __init__(
        self,
        backbone,
        num_classes,
        class_names=None,
        preprocessing=None,
        frozen=(),
        name="image_classifier",
        trainable=True,
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
        image = keras.Input(config["image_shape"], dtype=backbone.compute_dtype, name="image")
        logits = self.head(backbone(image)[backbone.block_names[-1]])
        super().__init__(inputs=image, outputs=logits, name=name, trainable=trainable)
        self.dtype_policy = backbone.dtype_policy
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.preprocessing = preprocessing
        freeze([self.head], frozen)
        self._loss_parts = {part: keras.metrics.Mean(name=part) for part in LOSS_PARTS}

    @property
    def postnorm(self):
        """The batch normalization of the head."""
        return self.head.postnorm

    @property
    def logits(self):
        """The 1x1 convolution of the head."""
        return self.head.logits

    def forward(self, images, valid=None, training=None):
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

    def call(self, inputs, training=None, mask=None, valid=None):
        del mask
        return self.forward(inputs, valid, training)["logits"]

    def compute_output_spec(self, inputs, training=None, mask=None, valid=None):
        return keras.Operation.compute_output_spec(self, inputs, training=training, valid=valid)

    @tf.autograph.experimental.do_not_convert
    def plain_flops(self, height, width):
        """`ResNetBackbone.plain_flops` and the head's."""
        with tf.init_scope():
            head = int(self.head.flops())
        return self.backbone.plain_flops(height, width) + head

    def warm_start(self, source: AdaptiveModel) -> dict[str, str]:
        """Copies the weights of another classifier, all but the halting scores.

        The head is copied where the number of classes agrees; see `ResNetBackbone.warm_start`.

        Args:
            source: an `ImageClassifier`, or another `AdaptiveModel` for the backbone alone.

        Returns:
            Dict of the places that kept their own weights, as `block1/unit_2`, with the reason.
        """
        uncovered = self.backbone.warm_start(source)
        if not isinstance(source, ImageClassifier):
            return uncovered | {"head": "the source has none"}
        if source.num_classes != self.num_classes:
            reason = f"{source.num_classes} classes there, {self.num_classes} here"
            return uncovered | {"head": reason}
        return uncovered | copy_layers({"head": self.head}, {"head": source.head})

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        # Keras has divided all terms by the number of replicas.
        whole = total * tf.distribute.get_strategy().num_replicas_in_sync
        decay = tf.cast(weight_decay_loss(self), whole.dtype)
        ponder = tf.zeros([], whole.dtype)
        for block in self.backbone.blocks:
            ponder += sum(tf.cast(loss, whole.dtype) for loss in block.added_losses())
        parts = (whole - decay - ponder, ponder, decay)
        for metric, value in zip(self._loss_parts.values(), parts, strict=True):
            metric.update_state(value, sample_weight=tf.shape(y_pred)[0])
        return total

    def get_config(self):
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
    def from_config(cls, config, custom_objects=None):
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
