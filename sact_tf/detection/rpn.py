"""The Region Proposal Network: anchors, scores, proposals, losses.

B images, H x W positions, A anchors of a position, N = H * W * A anchors, P proposals.
"""

import dataclasses
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from sact_tf.detection.detector_options import DetectorOptions
from sact_tf.detection.feature_map import FeatureMap
from sact_tf.detection.geometry.anchors import anchor_grid, cell_anchors, position_keys
from sact_tf.detection.geometry.boxes import (
    clip_boxes,
    decode_boxes,
    has_area,
    non_max_suppression,
)
from sact_tf.detection.geometry.matching import GroundTruth
from sact_tf.detection.geometry.sampling import random_uniform
from sact_tf.detection.geometry.targets import SamplingRule, sample_targets
from sact_tf.detection.losses import box_loss, score_loss
from sact_tf.layers.network_layer import NetworkLayer
from sact_tf.ops.positions import zero_outside

# arXiv:1506.01497, section 3.1.3.
SAMPLING = SamplingRule(positive_iou=0.7, negative_iou=0.3, positive_share=0.5, force=True)


class Proposals(NamedTuple):
    """What the network says of a batch.

    Attributes:
        logits: float32 [B, N], object or not, of each anchor.
        codes: float32 [B, N, 4], boxes relative to the anchors.
        anchors: float32 [N, 4].
        anchor_keys: int32 [N], see `position_keys`.
        anchor_valid: bool [B, N], the anchors at positions of the image.
        regions: float32 [B, P, 4], the proposals, inside the image.
        scores: float32 [B, P] in (0, 1), by falling score; 0 after the last.
        exists: bool [B, P].
    """

    logits: tf.Tensor
    codes: tf.Tensor
    anchors: tf.Tensor
    anchor_keys: tf.Tensor
    anchor_valid: tf.Tensor
    regions: tf.Tensor
    scores: tf.Tensor
    exists: tf.Tensor


@keras.saving.register_keras_serializable(package="sact_tf")
class RegionProposalNetwork(NetworkLayer):
    """Says for each anchor whether there is an object and how its box differs.

    Batch normalization and activation come first, as before every convolution of these
    (pre-activation) networks; then a 3x3 convolution with ReLU and two 1x1 convolutions.

    Args:
        options: of the detector.
        stride: pixels between two positions of the features.
        **kwargs: see `NetworkLayer`.

    Call arguments:
        inputs: features [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]; what is not padding.

    Returns:
        `(logits, codes)`, float32: [B, N] and [B, N, 4], in the order of `anchor_grid`.

    Reference: arXiv:1506.01497, section 3.1.
    """

    def __init__(self, options: DetectorOptions, stride: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options = options
        self.stride = stride
        self.preact = self._normalization("preact")
        self.conv = self._convolution(options.rpn_channels, 3, "conv", use_bias=True)
        self.scores = _output(options.num_anchors, self.weight_decay, "scores")
        self.boxes = _output(4 * options.num_anchors, self.weight_decay, "boxes")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.preact.build(input_shape)
        self.conv.build(input_shape)
        for layer in (self.scores, self.boxes):
            layer.build((*input_shape[:-1], self.options.rpn_channels))

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, valid: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        preact = self.preact(inputs, training=training, positions=valid)
        preact = zero_outside(self.activate(preact), valid)
        hidden = tf.cast(tf.nn.relu(self.conv(preact)), tf.float32)
        batch = tf.shape(hidden)[0]
        logits = tf.reshape(self.scores(hidden), [batch, -1])
        return logits, tf.reshape(self.boxes(hidden), [batch, -1, 4])

    def propose(self, features: FeatureMap, training: bool | None = None) -> Proposals:
        """Finds the regions of a batch that most probably hold an object.

        Args:
            features: the extractor's.
            training: as in the call.
        """
        options, number = self.options, self.options.num_anchors
        logits, codes = self(features.values, training=training, valid=features.valid)
        shape = tf.shape(features.values)
        cell = cell_anchors(options.anchor_sizes, options.aspect_ratios, self.stride)
        anchors = anchor_grid(cell, shape[1], shape[2], self.stride)
        if features.valid is None:
            valid = tf.ones_like(logits, tf.bool)
        else:
            valid = tf.repeat(tf.reshape(features.valid, [shape[0], -1]), number, axis=1)
        regions, scores, exists = propose_regions(
            logits,
            codes,
            anchors,
            valid,
            features.image_sizes,
            options.num_proposals,
            options.proposal_candidates,
            options.proposal_iou,
        )
        keys = position_keys(shape[1], shape[2], number)
        return Proposals(logits, codes, anchors, keys, valid, regions, scores, exists)

    def losses_for(
        self, proposals: Proposals, truth: GroundTruth, image_keys: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The losses on some anchors of each image, half of them objects at most.

        Args:
            proposals: what `propose` returned.
            truth: `GroundTruth`.
            image_keys: uint32 [B], see `sact_tf.detection.geometry.sampling`.

        Returns:
            Dict of the scalars `rpn_score` and `rpn_box`.
        """
        targets = sample_targets(
            proposals.anchors[tf.newaxis],
            proposals.anchor_valid,
            truth,
            random_uniform(image_keys, proposals.anchor_keys),
            self.options.sampled_anchors,
            SAMPLING,
        )
        logits = tf.gather(proposals.logits, targets.index, batch_dims=1)
        codes = tf.gather(proposals.codes, targets.index, batch_dims=1)
        distance = box_loss(codes, targets.codes, targets.is_object, targets.chosen)
        return {
            "rpn_score": score_loss(logits, targets.is_object, targets.chosen),
            "rpn_box": self.options.box_loss_weight * distance,
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "options": dataclasses.asdict(self.options),
            "stride": self.stride,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RegionProposalNetwork":
        return cls(**{**config, "options": DetectorOptions(**config["options"])})


def propose_regions(
    logits: tf.Tensor,
    codes: tf.Tensor,
    anchors: tf.Tensor,
    valid: tf.Tensor,
    image_sizes: tf.Tensor,
    num_proposals: int,
    candidates: int,
    iou_threshold: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The regions that most probably hold an object.

    Args:
        logits: [B, N], of object or not.
        codes: [B, N, 4], boxes relative to the anchors.
        anchors: [N, 4].
        valid: bool [B, N], the anchors that take part.
        image_sizes: [B, 2], height and width of each image without its padding.
        num_proposals: P, regions to keep of an image.
        candidates: boxes of highest score that enter the suppression.
        iou_threshold: of `non_max_suppression`.

    Returns:
        `(regions, scores, exists)`: [B, P, 4] inside the image, [B, P] in (0, 1), bool [B, P]. No
        gradient flows through them.

    Reference: arXiv:1506.01497, section 3.3.
    """
    logits, codes = tf.stop_gradient(logits), tf.stop_gradient(codes)
    scores = tf.where(valid, tf.sigmoid(logits), -1.0)
    scores, index = tf.nn.top_k(scores, tf.minimum(candidates, tf.shape(scores)[1]))
    boxes = decode_boxes(tf.gather(codes, index, batch_dims=1), tf.gather(anchors, index))
    boxes = clip_boxes(boxes, image_sizes)
    scores = tf.where(has_area(boxes, smallest=1.0), scores, -1.0)
    boxes, scores, _, count = non_max_suppression(
        boxes[:, :, tf.newaxis], scores[..., tf.newaxis], num_proposals, iou_threshold, 0.0
    )
    return boxes, scores, tf.sequence_mask(count, num_proposals)


def _output(filters: int, weight_decay: float, name: str) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        filters,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        kernel_regularizer=keras.regularizers.L2(weight_decay / 2) if weight_decay else None,
        name=name,
        dtype="float32",
    )
