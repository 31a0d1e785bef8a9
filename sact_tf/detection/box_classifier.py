"""The box classifier: crops of the features, their classes and boxes, detections, losses.

B images, P regions, C classes without background.
"""

from typing import Any

import keras
import tensorflow as tf

from sact_tf.detection.detector_options import DetectorOptions
from sact_tf.detection.feature_map import FeatureMap, crop_regions
from sact_tf.detection.geometry.boxes import (
    clip_boxes,
    decode_boxes,
    has_area,
    non_max_suppression,
)
from sact_tf.detection.geometry.matching import GroundTruth
from sact_tf.detection.geometry.sampling import random_uniform
from sact_tf.detection.geometry.targets import SamplingRule, sample_targets
from sact_tf.detection.losses import box_loss, class_loss
from sact_tf.layers.adaptive_block import AdaptiveBlock
from sact_tf.layers.pooling_head import PoolingHead
from sact_tf.ops.positions import subsample

# arXiv:1504.08083, section 2.3.
SAMPLING = SamplingRule(positive_iou=0.5, negative_iou=0.5, positive_share=0.25)


class BoxClassifier:
    """Classifies regions, and corrects their boxes.

    It is no layer: the block is the backbone's, which saves its weights.

    Args:
        block: the backbone's block after the extractor.
        head: `BoxHead`, which says what the block's features mean.
        options: of the detector.
    """

    def __init__(self, block: AdaptiveBlock, head: "BoxHead", options: DetectorOptions):
        self.block = block
        self.head = head
        self.options = options

    def __call__(
        self,
        features: FeatureMap,
        regions: tf.Tensor,
        exists: tf.Tensor,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the classifier says of regions.

        Args:
            features: the extractor's.
            regions: [B, P, 4].
            exists: bool [B, P]; the others do not enter the statistics of batch normalization.
            training: whether batch normalization uses the statistics of this batch.

        Returns:
            `(logits, codes)`: [B, P, 1 + C], background first, and [B, P, C, 4], boxes of each
            class relative to the regions.
        """
        state = crop_regions(features, regions, self.options.crop_size)
        flat, valid = tf.reshape(exists, [-1]), None
        if training and not self.options.freeze_batch_norm:
            valid = tf.broadcast_to(flat[:, tf.newaxis, tf.newaxis], tf.shape(state)[:3])
        if self.options.adaptive_box_head:
            state, _ = self.block(state, training=training, valid=valid)
        else:
            for unit in self.block.units:
                state = unit(state, training=training, valid=valid)
                valid = subsample(valid, unit.stride)
        logits, codes = self.head(state, training=training, exists=flat)
        shape = [tf.shape(regions)[0], regions.shape[1]]
        logits = tf.reshape(logits, [*shape, *logits.shape[1:]])
        return logits, tf.reshape(codes, [*shape, *codes.shape[1:]])

    def detect(
        self, features: FeatureMap, regions: tf.Tensor, exists: tf.Tensor, training: bool | None
    ) -> dict[str, tf.Tensor]:
        """The detections among proposed regions; see `select_detections`."""
        logits, codes = self(features, regions, exists, training)
        return select_detections(
            logits,
            codes,
            regions,
            exists,
            features.image_sizes,
            self.options.max_detections,
            self.options.score_threshold,
            self.options.detection_iou,
        )

    def losses_for(
        self,
        features: FeatureMap,
        regions: tf.Tensor,
        exists: tf.Tensor,
        truth: GroundTruth,
        image_keys: tf.Tensor,
        training: bool | None,
    ) -> dict[str, tf.Tensor]:
        """The losses on some regions of each image, a quarter of them objects at most.

        The ground truth's boxes are added to the proposed ones.

        Args:
            features, regions, exists, training: as in the call.
            truth: `GroundTruth`.
            image_keys: uint32 [B], see `sact_tf.detection.geometry.sampling`.

        Returns:
            Dict of the scalars `class` and `box`.
        """
        candidates = tf.stop_gradient(tf.concat([regions, truth.boxes], axis=1))
        targets = sample_targets(
            candidates,
            tf.concat([exists, truth.exists], axis=1),
            truth,
            random_uniform(image_keys, tf.range(tf.shape(candidates)[1])),
            self.options.sampled_regions,
            SAMPLING,
        )
        logits, codes = self(features, targets.boxes, targets.chosen, training)
        codes = tf.gather(codes, tf.maximum(targets.classes - 1, 0), batch_dims=2)
        distance = box_loss(codes, targets.codes, targets.is_object, targets.chosen)
        return {
            "class": class_loss(logits, targets.classes, targets.chosen),
            "box": self.options.box_loss_weight * distance,
        }


@keras.saving.register_keras_serializable(package="sact_tf")
class BoxHead(PoolingHead):
    """Class scores and a box for each class, from the features of a region.

    Batch normalization, activation and global mean as in `ClassifierHead`, then two dense layers.

    Args:
        num_classes: C, without background.
        **kwargs: see `PoolingHead`.

    Call arguments:
        inputs: features of the regions, [R, h, w, channels].
        training: whether batch normalization uses the statistics of this batch.
        exists: optional bool [R]; the others do not enter the statistics.

    Returns:
        `(logits, codes)`, float32: [R, 1 + C], background first, and [R, C, 4].
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.scores = _output(num_classes + 1, self.weight_decay, 0.01, "scores")
        self.boxes = _output(4 * num_classes, self.weight_decay, 0.001, "boxes")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        for layer in (self.scores, self.boxes):
            layer.build((None, input_shape[-1]))

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, exists: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        pooled = self.pooled(inputs, training, counted=exists)
        return self.scores(pooled), tf.reshape(self.boxes(pooled), [-1, self.num_classes, 4])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


def select_detections(
    logits: tf.Tensor,
    codes: tf.Tensor,
    regions: tf.Tensor,
    exists: tf.Tensor,
    image_sizes: tf.Tensor,
    max_detections: int,
    score_threshold: float,
    iou_threshold: float,
) -> dict[str, tf.Tensor]:
    """The boxes that a detector answers with.

    Args:
        logits: [B, P, 1 + C], background first.
        codes: [B, P, C, 4], boxes of each class relative to the regions.
        regions: [B, P, 4].
        exists: bool [B, P]; the other regions give nothing.
        image_sizes: [B, 2], height and width of each image without its padding.
        max_detections: N, most detections of an image.
        score_threshold: only detections with a higher score.
        iou_threshold: of `non_max_suppression`.

    Returns:
        Dict of `boxes` [B, N, 4], `scores` [B, N], `classes` int32 [B, N] in 0..C-1 and
        `num_detections` int32 [B], by falling score; 0, 0 and -1 after the last detection.
    """
    scores = tf.nn.softmax(logits)[..., 1:]
    boxes = decode_boxes(codes, tf.tile(regions[:, :, tf.newaxis], [1, 1, codes.shape[2], 1]))
    shape = tf.shape(boxes)
    boxes = clip_boxes(tf.reshape(boxes, [shape[0], -1, 4]), image_sizes)
    boxes = tf.reshape(boxes, shape)
    scores = tf.where(exists[..., tf.newaxis] & has_area(boxes), scores, -1.0)
    boxes, scores, classes, count = non_max_suppression(
        boxes, scores, max_detections, iou_threshold, score_threshold
    )
    return {"boxes": boxes, "scores": scores, "classes": classes, "num_detections": count}


def _output(units: int, weight_decay: float, stddev: float, name: str) -> keras.layers.Dense:
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
        kernel_regularizer=keras.regularizers.L2(weight_decay / 2) if weight_decay else None,
        name=name,
        dtype="float32",
    )
