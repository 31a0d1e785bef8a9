"""Faster R-CNN whose feature extractor spends its layers where the image needs them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from sact_tf.detection.box_classifier import BoxClassifier, BoxHead
from sact_tf.detection.detector_options import DetectorOptions
from sact_tf.detection.feature_map import FeatureMap, sizes_without_padding
from sact_tf.detection.geometry.matching import prepare_ground_truth
from sact_tf.detection.geometry.sampling import image_keys
from sact_tf.detection.ground_truth_training import GroundTruthTraining
from sact_tf.detection.rpn import RegionProposalNetwork
from sact_tf.detection.warm_start import warm_start_detector
from sact_tf.layers.adaptive_block import AdaptiveBlock
from sact_tf.models.adaptive_model import AdaptiveModel
from sact_tf.models.image_batches import image_inputs, image_tensor
from sact_tf.models.resnet_backbone import ResNetBackbone
from sact_tf.models.weight_decay import weight_decay_loss

LOSS_PARTS = ("rpn_score", "rpn_box", "class", "box", "ponder_loss", "weight_decay")


@keras.saving.register_keras_serializable(package="sact_tf")
class FasterRCNN(AdaptiveModel, GroundTruthTraining):
    """Faster R-CNN: feature extractor, Region Proposal Network, box classifier.

    The backbone's blocks up to `feature_block` extract features, once for an image. The block after
    it classifies crops of them. Its later blocks, and halting scores that do not take part, are
    left out of training.

    Boxes are `[ymin, xmin, ymax, xmax]` in input pixels, classes 0..num_classes-1.

    `fit` takes batches of dicts, `image` [B, H, W, 3], `valid` (bool [B, H, W], what is not padding
    at the bottom and right; optional), `boxes` [B, M, 4], `classes` (int [B, M], -1 where there is
    no box) and `crowd` (bool [B, M], boxes to be neither found nor missed; optional), minimizes the
    sum of `losses_for` and logs its terms.

    Args:
        backbone: a `ResNetBackbone` of two blocks or more.
        num_classes: C, without background.
        class_names, preprocessing: as in `ImageClassifier`; saved with the model.
        **options: the others of `DetectorOptions`.

    Call arguments:
        inputs: as in `ResNetBackbone`.
        valid: optional bool [B, H, W], as in `ResNetBackbone`.
        training: accepted for Keras; predictions use the moving statistics unless it is true.

    Returns:
        Dict of `boxes` float32 [B, N, 4], `classes` int32 [B, N], `scores` [B, N] (by falling
        score; 0, -1, 0 after the last), `num_detections` int32 [B], `ponder_cost_map` [B, H, W]
        (of the extractor, 0 in the padding) and `flops` int64 [B] (of the extractor).

    Example:
        >>> import numpy as np
        >>> from sact_tf.detection import FasterRCNN
        >>> from sact_tf.models import ResNetBackbone
        >>> backbone = ResNetBackbone(units=(2, 2, 1), base_channels=8, halting="sact")
        >>> detector = FasterRCNN(backbone, num_classes=3)
        >>> found = detector(np.zeros([1, 96, 128, 3], "float32"))
        >>> found["boxes"].shape[-1], found["ponder_cost_map"].shape
        (4, TensorShape([1, 96, 128]))

    Reference: arXiv:1506.01497; arXiv:1612.02297, section 4.2.
    """

    answers = ("boxes", "classes", "scores", "num_detections")

    def __init__(
        self,
        backbone: ResNetBackbone,
        num_classes: int,
        class_names: Sequence[str] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        *,
        name: str = "faster_rcnn",
        trainable: bool = True,
        **options: Any,
    ):
        super().__init__(
            name=name, trainable=trainable, dtype=backbone.dtype_policy, autocast=False
        )
        self.options = DetectorOptions(num_classes, class_names, preprocessing, **options)
        self.feature_block = self.options.feature_block_of(backbone.block_names)
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.preprocessing = self.options.preprocessing
        self.supports_jit = False  # the suppression has no XLA kernel
        self.backbone = backbone
        config = backbone.get_config()
        shared = {
            "negative_slope": config["negative_slope"],
            "weight_decay": config["weight_decay"],
            "batch_norm": backbone.batch_norm,
        }
        self.rpn = RegionProposalNetwork(
            self.options, self.stride, name="rpn", dtype=backbone.dtype_policy, **shared
        )
        pools_first = config["unit"] == "basic"
        self.box_head = BoxHead(
            num_classes, pools_first=pools_first, name="box_head", dtype="float32", **shared
        )
        self.box_classifier = BoxClassifier(self.box_block, self.box_head, self.options)
        self.rpn.build((None, None, None, self.extractor[-1].units[-1].out_channels))
        self.box_head.build((None, None, None, self.box_block.units[-1].out_channels))
        self.built = True
        self._loss_means = {part: keras.metrics.Mean(name=part) for part in LOSS_PARTS}
        self._leave_out_of_training()

    @property
    def extractor(self) -> list[AdaptiveBlock]:
        """The blocks of the feature extractor."""
        return self.backbone.blocks_up_to(self.feature_block)

    @property
    def block_names(self) -> list[str]:
        return [block.name for block in self.extractor]

    @property
    def box_block(self) -> AdaptiveBlock:
        """The block of the box classifier."""
        return self.backbone.blocks[len(self.extractor)]

    @property
    def stride(self) -> int:
        """Pixels between two positions of the extractor's features."""
        return self.backbone.strides[self.feature_block]

    @property
    def unused_layers(self) -> dict[str, keras.layers.Layer]:
        """Dict by path of the backbone's layers that take no part."""
        blocks = self.backbone.blocks[len(self.extractor) + 1 :]
        unused = {block.name: block for block in blocks}
        if not self.options.adaptive_box_head:
            scores = self.box_block.halting_scores
            unused |= {f"{self.box_block.name}/{score.name}": score for score in scores}
        return unused

    def call(
        self,
        inputs: tf.Tensor | Mapping[str, tf.Tensor],
        valid: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> dict[str, tf.Tensor]:
        outputs = self.forward(inputs, valid, training)
        return {name: outputs[name] for name in (*self.answers, "ponder_cost_map", "flops")}

    def forward(
        self,
        inputs: tf.Tensor | Mapping[str, tf.Tensor],
        valid: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> dict[str, Any]:
        """Everything that a call computes.

        Args:
            inputs, valid, training: as in the call.

        Returns:
            The call's dict, with `proposals` [B, P, 4], `proposal_scores` [B, P] (0 after the
            last), and by block of the extractor `halting` (see `AdaptiveBlock`) and `valid`.
        """
        images, valid = self._images_of(inputs, valid)
        extracted, features = self._extract(images, valid, training)
        proposals = self.rpn.propose(features, training)
        found = self.box_classifier.detect(features, proposals.regions, proposals.exists, training)
        return {
            **found,
            "ponder_cost_map": self._ponder_cost_map(extracted, images, valid),
            "flops": extracted["flops"],
            "proposals": proposals.regions,
            "proposal_scores": proposals.scores,
            "halting": extracted["halting"],
            "valid": extracted["valid"],
        }

    def losses_for(
        self,
        images: tf.Tensor,
        valid: tf.Tensor | None,
        boxes: tf.Tensor,
        classes: tf.Tensor,
        crowd: tf.Tensor | None = None,
        training: bool = True,
        sampling_step: int | tf.Tensor | None = None,
    ) -> tuple[dict[str, tf.Tensor], dict[str, Any]]:
        """The terms of the loss on a batch.

        Args:
            images: [B, H, W, C], preprocessed.
            valid: bool [B, H, W] or None.
            boxes, classes, crowd: the ground truth, see the class; `crowd` may be None.
            training: as in the call.
            sampling_step: integer that the choice of anchors and regions depends on, besides the
                images; None takes the compiled optimizer's step, or else draws one.

        Returns:
            `(losses, outputs)`: dict of the scalars `rpn_score`, `rpn_box`, `class`, `box`,
            `ponder_loss` (of the extractor) and `weight_decay`, already weighted, whose sum is
            the loss; and a dict of the extractor's `flops` int64 [B], mean `ponder_cost` (scalar)
            and `halting` dict, and `proposals` [B, P, 4].
        """
        images, valid = self._images_of(images, valid)
        truth = prepare_ground_truth(boxes, classes, crowd)
        keys = image_keys(images, valid, self._sampling_step(sampling_step))
        extracted, features = self._extract(images, valid, training)
        proposals = self.rpn.propose(features, training)
        regions, exists = proposals.regions, proposals.exists
        losses = {
            **self.rpn.losses_for(proposals, truth, keys),
            **self.box_classifier.losses_for(features, regions, exists, truth, keys, training),
            "ponder_loss": tf.cast(extracted["ponder_loss"], tf.float32),
            "weight_decay": tf.cast(weight_decay_loss(self), tf.float32),
        }
        return losses, {
            "flops": extracted["flops"],
            "ponder_cost": extracted["ponder_cost"],
            "halting": extracted["halting"],
            "proposals": regions,
        }

    def plain_flops(self, height: int | tf.Tensor, width: int | tf.Tensor) -> int | tf.Tensor:
        """`ResNetBackbone.plain_flops` of the feature extractor."""
        return self.backbone.plain_flops(height, width, self.feature_block)

    def warm_start(self, source: AdaptiveModel) -> dict[str, str]:
        """Copies the weights of a classifier, a backbone or another detector.

        Besides the blocks, the halting scores are copied from a source with the same kind of
        halting; from a classifier the batch normalizations of the Region Proposal Network (which
        has that of the box classifier's first unit) and of the box head; and from a detector both
        heads, where the shapes agree: the box head class by class, by name, where both have names.

        Args:
            source: `ImageClassifier`, `ResNetBackbone` or `FasterRCNN`.

        Returns:
            Dict of the places that kept their own weights, as `block1/unit_2`, with the reason.

        Raises:
            UserError: nothing of the backbone fits.
        """
        return warm_start_detector(self, source)

    def get_config(self) -> dict[str, Any]:
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            **dataclasses.asdict(self.options),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "FasterRCNN":
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})

    def _extract(self, images, valid, training):
        """`(extracted, features)`: the dict of `ResNetBackbone.forward`, and its last features."""
        block = self.feature_block
        extracted = self.backbone.forward(images, valid, training, last_block=block)
        values, features_valid = extracted["features"][block], extracted["valid"][block]
        return extracted, FeatureMap(
            values,
            features_valid,
            sizes_without_padding(values, features_valid),
            sizes_without_padding(images, valid),
        )

    def _ponder_cost_map(self, extracted, images, valid):
        shape = tf.shape(images)[:3]
        maps = tf.broadcast_to(self.ponder_cost_map(extracted, images, valid), shape)
        return maps if valid is None else tf.where(valid, maps, tf.zeros([], maps.dtype))

    def _sampling_step(self, step):
        if step is not None:
            return tf.convert_to_tensor(step)
        if getattr(self, "optimizer", None) is not None:
            return tf.convert_to_tensor(self.optimizer.iterations)
        return tf.random.uniform([], maxval=2**31 - 1, dtype=tf.int32)

    def _leave_out_of_training(self):
        for layer in self.unused_layers.values():
            layer.trainable = False
        if self.options.freeze_batch_norm:
            for layer in self._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False

    def _images_of(self, inputs, valid):
        """`(images, valid)` of a call with any form of input, as tensors."""
        inputs, valid = image_inputs(inputs, valid)
        images = image_tensor(inputs, self.image_shape[-1], "float32")
        return images, None if valid is None else tf.cast(valid, tf.bool)
