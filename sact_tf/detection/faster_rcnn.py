"""Faster R-CNN whose feature extractor spends its layers where the image needs them."""

import keras
import tensorflow as tf

from sact_tf.detection.box_head import BoxHead
from sact_tf.detection.detections import detect
from sact_tf.detection.detector_options import checked_feature_block
from sact_tf.detection.ground_truth_training import GroundTruthTraining
from sact_tf.detection.matching import prepare_ground_truth
from sact_tf.detection.region_proposal import RegionProposalNetwork
from sact_tf.detection.sampling import image_keys
from sact_tf.detection.stage_losses import classifier_losses, proposal_losses
from sact_tf.detection.stages import classify, look
from sact_tf.detection.warm_start import warm_start_detector
from sact_tf.models.adaptive_model import AdaptiveModel
from sact_tf.models.walk import weight_decay_loss

LOSS_PARTS = ("rpn_score", "rpn_box", "class", "box", "ponder_loss", "weight_decay")


@keras.saving.register_keras_serializable(package="sact_tf")
class FasterRCNN(AdaptiveModel, GroundTruthTraining, keras.Model):
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
        feature_block: name of the extractor's last block; None is the last block but one.
        adaptive_box_head: whether the box classifier's block halts, too; its ponder cost is never
            penalized.
        anchor_sizes: sides of the anchors, in pixels; aspect_ratios: their width over height.
        rpn_channels: of the Region Proposal Network's 3x3 convolution.
        num_proposals: regions of an image that go to the box classifier.
        proposal_candidates, proposal_iou: boxes that enter the suppression of proposals, and the
            intersection over union from which on it drops one.
        sampled_anchors, sampled_regions: examples of an image for the losses of the two stages.
        crop_size: rows and columns of a crop, before the stride of the box classifier.
        box_loss_weight: of both box losses.
        max_detections, score_threshold, detection_iou: of the last suppression, class by class.
        freeze_batch_norm: whether all batch normalizations keep their statistics and weights.

    Call arguments:
        inputs: images [B, H, W, C], preprocessed; or a dict with `image` and optionally `valid`.
        valid: optional bool [B, H, W], as in `ResNetBackbone`.
        training: accepted for Keras; predictions use the moving statistics unless it is true.

    Returns:
        Dict of `boxes` float32 [B, N, 4], `classes` int32 [B, N], `scores` [B, N] (by falling
        score; 0, -1, 0 after the last), `num_detections` int32 [B], `ponder_cost_map` [B, H, W]
        (of the extractor, 0 in the padding) and `flops` int64 [B] (of the extractor).

    Reference: arXiv:1506.01497; arXiv:1612.02297, section 4.2.
    """

    answers = ("boxes", "classes", "scores", "num_detections")

    def __init__(
        self,
        backbone,
        num_classes,
        class_names=None,
        preprocessing=None,
        feature_block=None,
        adaptive_box_head=False,
        anchor_sizes=(64, 128, 256, 512),
        aspect_ratios=(0.5, 1.0, 2.0),
        rpn_channels=512,
        num_proposals=300,
        proposal_candidates=2000,
        proposal_iou=0.7,
        sampled_anchors=256,
        sampled_regions=64,
        crop_size=14,
        box_loss_weight=2.0,
        max_detections=100,
        score_threshold=0.01,
        detection_iou=0.6,
        freeze_batch_norm=False,
        name="faster_rcnn",
        trainable=True,
    ):
        super().__init__(
            name=name, trainable=trainable, dtype=backbone.dtype_policy, autocast=False
        )
        self.options = {
            "num_classes": num_classes,
            "class_names": None if class_names is None else list(class_names),
            "preprocessing": preprocessing,
            "feature_block": feature_block,
            "adaptive_box_head": adaptive_box_head,
            "anchor_sizes": list(anchor_sizes),
            "aspect_ratios": list(aspect_ratios),
            "rpn_channels": rpn_channels,
            "num_proposals": num_proposals,
            "proposal_candidates": proposal_candidates,
            "proposal_iou": proposal_iou,
            "sampled_anchors": sampled_anchors,
            "sampled_regions": sampled_regions,
            "crop_size": crop_size,
            "box_loss_weight": box_loss_weight,
            "max_detections": max_detections,
            "score_threshold": score_threshold,
            "detection_iou": detection_iou,
            "freeze_batch_norm": freeze_batch_norm,
        }
        self.feature_block = checked_feature_block(backbone, self.options)
        self.num_classes = num_classes
        self.class_names = self.options["class_names"]
        self.preprocessing = preprocessing
        self.supports_jit = False  # the suppression has no XLA kernel
        self.backbone = backbone
        config = backbone.get_config()
        shared = {
            "negative_slope": config["negative_slope"],
            "weight_decay": config["weight_decay"],
            "batch_norm": backbone.batch_norm,
            "dtype": backbone.dtype_policy,
        }
        self.rpn = RegionProposalNetwork(
            rpn_channels, len(anchor_sizes) * len(aspect_ratios), name="rpn", **shared
        )
        self.box_head = BoxHead(
            num_classes, pools_first=config["unit"] == "basic", name="box_head", **shared
        )
        self.rpn.build((None, None, None, self.extractor[-1].units[-1].out_channels))
        self.box_head.build((None, None, None, self.box_block.units[-1].out_channels))
        self.built = True
        self._loss_means = {part: keras.metrics.Mean(name=part) for part in LOSS_PARTS}
        self._leave_out_of_training()

    @property
    def extractor(self):
        """The blocks of the feature extractor."""
        return self.backbone.blocks_up_to(self.feature_block)

    @property
    def block_names(self):
        return [block.name for block in self.extractor]

    @property
    def box_block(self):
        """The block of the box classifier."""
        return self.backbone.blocks[len(self.extractor)]

    @property
    def stride(self):
        """Pixels between two positions of the extractor's features."""
        return self.backbone.strides[self.feature_block]

    @property
    def unused_layers(self):
        """Dict by path of the backbone's layers that take no part."""
        blocks = self.backbone.blocks[len(self.extractor) + 1 :]
        unused = {block.name: block for block in blocks}
        if not self.options["adaptive_box_head"]:
            scores = self.box_block.halting_scores
            unused |= {f"{self.box_block.name}/{score.name}": score for score in scores}
        return unused

    def call(self, inputs, valid=None, training=None):
        outputs = self.forward(inputs, valid, training)
        return {name: outputs[name] for name in (*self.answers, "ponder_cost_map", "flops")}

    def forward(self, inputs, valid=None, training=None):
        """Everything that a call computes.

        Args:
            inputs, valid, training: as in the call.

        Returns:
            The call's dict, with `proposals` [B, P, 4], `proposal_scores` [B, P] (0 after the
            last), and by block of the extractor `halting` (see `AdaptiveBlock`) and `valid`.
        """
        images, valid = _images_of(inputs, valid)
        scene = look(self, images, valid, training)
        regions, exists = scene["regions"], scene["region_exists"]
        logits, codes = classify(self, scene, regions, exists, training)
        found = detect(
            logits,
            codes,
            regions,
            exists,
            scene["image_sizes"],
            self.options["max_detections"],
            self.options["score_threshold"],
            self.options["detection_iou"],
        )
        return {
            **found,
            "ponder_cost_map": self._ponder_cost_map(scene, images, valid),
            "flops": scene["flops"],
            "proposals": regions,
            "proposal_scores": scene["region_scores"],
            "halting": scene["halting"],
            "valid": scene["valid"],
        }

    def losses_for(
        self, images, valid, boxes, classes, crowd=None, training=True, sampling_step=None
    ):
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
        images, valid = _images_of(images, valid)
        truth = prepare_ground_truth(boxes, classes, crowd)
        keys = image_keys(images, valid, self._sampling_step(sampling_step))
        scene = look(self, images, valid, training)
        losses = {
            **proposal_losses(self, scene, truth, keys),
            **classifier_losses(self, scene, truth, keys, training),
            "ponder_loss": tf.cast(scene["ponder_loss"], tf.float32),
            "weight_decay": tf.cast(weight_decay_loss(self), tf.float32),
        }
        return losses, {
            "flops": scene["flops"],
            "ponder_cost": scene["ponder_cost"],
            "halting": scene["halting"],
            "proposals": scene["regions"],
        }

    def plain_flops(self, height, width):
        """`ResNetBackbone.plain_flops` of the feature extractor."""
        return self.backbone.plain_flops(height, width, self.feature_block)

    def warm_start(self, source):
        """Copies the weights of a classifier, a backbone or another detector.

        Besides the blocks, the halting scores are copied from a source with the same kind of
        halting; from a classifier the batch normalizations of the Region Proposal Network (which
        has that of the box classifier's first unit) and of the box head; and from a detector both
        heads, where the shapes agree.

        Args:
            source: `ImageClassifier`, `ResNetBackbone` or `FasterRCNN`.

        Returns:
            Dict of the places that kept their own weights, as `block1/unit_2`, with the reason.
        """
        return warm_start_detector(self, source)

    def get_config(self):
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            **{name: _plain(value) for name, value in self.options.items()},
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})

    def _ponder_cost_map(self, scene, images, valid):
        shape = tf.shape(images)[:3]
        maps = tf.broadcast_to(self.ponder_cost_map(scene, images, valid), shape)
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
        if self.options["freeze_batch_norm"]:
            for layer in self._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False


def _images_of(inputs, valid):
    """`(images, valid)` of a call with either form of input, as tensors."""
    if isinstance(inputs, dict):
        valid = inputs.get("valid") if valid is None else valid
        inputs = inputs["image"]
    images = tf.cast(tf.convert_to_tensor(inputs), tf.float32)
    return images, None if valid is None else tf.cast(valid, tf.bool)


def _plain(value):
    """Without the containers that Keras puts around a model's attributes."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
