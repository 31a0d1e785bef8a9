"""From the box classifier's outputs to detections."""

import tensorflow as tf

from sact_tf.detection.boxes import clip_boxes, decode_boxes, has_area, non_max_suppression


def detect(
    logits, codes, regions, exists, image_sizes, max_detections, score_threshold, iou_threshold
):
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
