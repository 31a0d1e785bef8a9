"""Random choice of the anchors and regions that a training step learns from.

The choice is a function of the image, the step and the candidate, so that it does not depend on
how a batch is padded or split over replicas. (Model Garden's samplers draw from one stream, and
fill up with candidates that are neither positive nor negative.)
"""

import tensorflow as tf


def image_keys(images: tf.Tensor, valid: tf.Tensor | None, step: int | tf.Tensor) -> tf.Tensor:
    """A random key for each image at a step.

    Args:
        images: float32 [B, H, W, C].
        valid: bool [B, H, W] or None; the rest is not looked at.
        step: integer scalar.

    Returns:
        uint32 [B].
    """
    if valid is not None:
        images = tf.where(valid[..., tf.newaxis], images, 0.0)
    # Integers add up to the same sum in any order, zeros add nothing.
    total = tf.reduce_sum(tf.bitcast(images, tf.int32), axis=[1, 2, 3])
    return _mix(tf.bitcast(total, tf.uint32) + _mix(tf.cast(step, tf.uint32) + 1))


def random_uniform(keys: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Numbers in [0, 1), one for each key and candidate.

    Args:
        keys: uint32 [B].
        candidates: int32 [N], any distinct numbers.

    Returns:
        float32 [B, N].
    """
    bits = _mix(keys[:, tf.newaxis] ^ _mix(tf.bitcast(candidates, tf.uint32)))
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def sample(
    numbers: tf.Tensor,
    positive: tf.Tensor,
    negative: tf.Tensor,
    size: int,
    positive_share: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Chooses positives, up to a share of the sample, and fills up with negatives.

    Args:
        numbers: [B, N], random in [0, 1).
        positive, negative: bool [B, N].
        size: candidates to choose for an image.
        positive_share: largest share of positives, in [0, 1].

    Returns:
        `(index, chosen)`: int32 [B, size] into the candidates, positives first; and bool
        [B, size], false for the slots (the last ones) that nothing was left for.
    """
    missing = tf.maximum(size - tf.shape(numbers)[1], 0)
    numbers = tf.pad(numbers, [[0, 0], [0, missing]])
    positive, negative = (tf.pad(part, [[0, 0], [0, missing]]) for part in (positive, negative))
    most = max(int(size * positive_share), 1)
    of_positives = tf.where(positive, numbers, -1.0)
    last = tf.nn.top_k(of_positives, most).values[:, -1:]
    taken = positive & (numbers >= last)
    priority = tf.where(taken, numbers + 2.0, tf.where(negative, numbers, -1.0))
    priority, index = tf.nn.top_k(priority, size)
    chosen = priority >= 0
    return tf.where(chosen, index, 0), chosen


def _mix(bits):
    """The finaliser of MurmurHash3 (Appleby, public domain)."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits ^= tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32))
        bits *= tf.constant(factor, tf.uint32)
    return bits ^ tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32))
