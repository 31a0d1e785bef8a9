"""Losses of the two stages of Faster R-CNN.

Every term is a mean over the examples chosen from one image, then over the images of the batch: it
depends neither on the other images nor on how a batch is split over replicas.

B images, K chosen anchors or regions, C classes without background.
"""

import tensorflow as tf


def score_loss(logits: tf.Tensor, is_object: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Cross entropy of object or not.

    Args:
        logits: [B, K].
        is_object: bool [B, K].
        chosen: bool [B, K], which ones count.

    Returns:
        Scalar.
    """
    labels = tf.cast(is_object, logits.dtype)
    return _mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), chosen, chosen)


def class_loss(logits: tf.Tensor, labels: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Cross entropy over the classes and background.

    Args:
        logits: [B, K, 1 + C].
        labels: int32 [B, K], 0 for background.
        chosen: bool [B, K], which ones count.

    Returns:
        Scalar.
    """
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return _mean(entropy, chosen, chosen)


def box_loss(
    codes: tf.Tensor, targets: tf.Tensor, is_object: tf.Tensor, chosen: tf.Tensor
) -> tf.Tensor:
    """Smooth L1 distance of the codes of objects (arXiv:1504.08083, eq. 3), summed over the four.

    Args:
        codes, targets: [B, K, 4].
        is_object: bool [B, K], where there is a target.
        chosen: bool [B, K]; the sum is divided by their number, as that of the class loss.

    Returns:
        Scalar.
    """
    distance = tf.abs(codes - targets)
    smooth = tf.where(distance < 1, 0.5 * tf.square(distance), distance - 0.5)
    return _mean(tf.reduce_sum(smooth, axis=-1), is_object & chosen, chosen)


def _mean(values, counted, chosen):
    """Sum over `counted`, by the number of `chosen`, for each image; mean over the images."""
    total = tf.reduce_sum(tf.where(counted, values, tf.zeros_like(values)), axis=-1)
    number = tf.reduce_sum(tf.cast(chosen, values.dtype), axis=-1)
    return tf.reduce_mean(tf.math.divide_no_nan(total, number))
