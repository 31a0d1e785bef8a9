"""Boxes `[ymin, xmin, ymax, xmax]` in input pixels: coding, clipping, suppression.

Box arithmetic is Model Garden's (`official.vision.ops.box_ops`), imported where it is called.
"""

import tensorflow as tf

# Scales of (dy, dx, dh, dw), which bring the regression targets near unit variance.
CODE_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def encode_boxes(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Boxes relative to anchors: offsets of the centres in anchor sizes, logarithms of the sizes.

    Args:
        boxes: [..., 4].
        anchors: [..., 4], broadcastable to `boxes`.

    Returns:
        [..., 4], (dy, dx, dh, dw) times 10, 10, 5, 5.

    Reference: arXiv:1506.01497, eq. 2.
    """
    from official.vision.ops import box_ops

    return box_ops.encode_boxes(boxes, anchors, CODE_WEIGHTS)


def decode_boxes(codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """The inverse of `encode_boxes`; growth beyond 62 times the anchor is cut off."""
    from official.vision.ops import box_ops

    return box_ops.decode_boxes(codes, anchors, CODE_WEIGHTS)


def clip_boxes(boxes: tf.Tensor, image_sizes: tf.Tensor) -> tf.Tensor:
    """Cuts boxes at the borders of their image.

    Args:
        boxes: [B, N, 4].
        image_sizes: [B, 2], height and width of each image without its padding.

    Returns:
        [B, N, 4].
    """
    from official.vision.ops import box_ops

    return box_ops.clip_boxes(boxes, image_sizes[:, tf.newaxis])


def has_area(boxes: tf.Tensor, smallest: float = 0.0) -> tf.Tensor:
    """Whether both sides of a box are longer than `smallest` pixels: [..., 4] -> bool [...]."""
    return tf.reduce_all(boxes[..., 2:] - boxes[..., :2] > smallest, axis=-1)


def non_max_suppression(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_boxes: int,
    iou_threshold: float,
    score_threshold: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Greedy suppression of overlapping boxes, class by class, for a batch.

    Args:
        boxes: [B, N, C, 4], or [B, N, 1, 4] shared by the classes.
        scores: [B, N, C].
        max_boxes: most boxes of an image, all classes together.
        iou_threshold: a box is dropped when it overlaps one of its class with a higher score by
            more than this intersection over union.
        score_threshold: only boxes with a higher score are kept.

    Returns:
        `(boxes, scores, classes, count)`, by falling score: [B, max_boxes, 4], [B, max_boxes],
        int32 [B, max_boxes] and int32 [B]; zeros (class -1) after the first `count`.
    """
    boxes, scores, classes, count = tf.image.combined_non_max_suppression(
        boxes,
        scores,
        max_output_size_per_class=max_boxes,
        max_total_size=max_boxes,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    exists = tf.sequence_mask(count, max_boxes)
    return boxes, scores, tf.where(exists, tf.cast(classes, tf.int32), -1), count
