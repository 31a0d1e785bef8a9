"""From anchors to proposals, and from proposals to crops of the features."""

import tensorflow as tf

from sact_tf.detection.boxes import clip_boxes, decode_boxes, has_area, non_max_suppression

# A crop's last row must not fall behind the map by round-off: it would be extrapolated to zero.
_INSIDE = 1.0 - 1e-6


def propose_regions(
    logits, codes, anchors, valid, image_sizes, num_proposals, candidates, iou_threshold
):
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


def crop_regions(features, regions, image_sizes, feature_sizes, crop_size):
    """Samples the features inside each region on a regular grid, bilinearly.

    The corners of an image are the centres of the first and last positions of its features.

    Args:
        features: [B, H, W, C].
        regions: [B, P, 4], in pixels.
        image_sizes: [B, 2], height and width of each image without its padding, in pixels.
        feature_sizes: [B, 2], the same at the features' resolution, in positions.
        crop_size: rows and columns of a crop.

    Returns:
        [B * P, crop_size, crop_size, C], of the features' dtype.
    """
    shape = tf.shape(features)
    last = tf.cast(shape[1:3], tf.float32) - 1.0
    # Whole map: positions over (H - 1), as tf.image.crop_and_resize counts.
    scale = _INSIDE * (tf.cast(feature_sizes, tf.float32) - 1.0)
    scale = tf.math.divide_no_nan(scale, image_sizes * last)
    boxes = regions * tf.concat([scale, scale], axis=-1)[:, tf.newaxis]
    owner = tf.repeat(tf.range(shape[0]), tf.shape(regions)[1])
    crops = tf.image.crop_and_resize(
        tf.cast(features, tf.float32), tf.reshape(boxes, [-1, 4]), owner, [crop_size, crop_size]
    )
    return tf.cast(crops, features.dtype)
