"""The boxes that the Region Proposal Network starts from."""

from collections.abc import Sequence

import tensorflow as tf


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float], stride: int) -> tf.Tensor:
    """Anchors of the position in row 0 and column 0.

    Args:
        sizes: side of the square of the same area, in pixels.
        aspect_ratios: width over height.
        stride: pixels between two positions.

    Returns:
        float32 [len(sizes) * len(aspect_ratios), 4], the sizes outermost, centred at stride / 2.

    Reference: arXiv:1506.01497, section 3.1.1.
    """
    from official.vision.ops import anchor_generator

    generate = anchor_generator.AnchorGeneratorv1(
        anchor_sizes=[1.0],
        scales=[tuple(map(float, sizes))],
        aspect_ratios=[tuple(map(float, aspect_ratios))],
        strides=[stride],
    )
    (anchors,) = generate((1.0, 1.0))
    return tf.reshape(anchors, [-1, 4])


def anchor_grid(
    cell: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor, stride: int
) -> tf.Tensor:
    """The anchors of every position of a feature map.

    Model Garden's generators need the size of the map in Python; here it may be a tensor.

    Args:
        cell: [A, 4], see `cell_anchors`.
        height, width: of the feature map, ints or scalar tensors.
        stride: pixels between two positions.

    Returns:
        float32 [height * width * A, 4], row by row; the anchors of a position are neighbours.
    """
    rows = tf.cast(tf.range(height) * stride, tf.float32)
    columns = tf.cast(tf.range(width) * stride, tf.float32)
    y, x = tf.meshgrid(rows, columns, indexing="ij")
    corners = tf.stack([y, x, y, x], axis=-1)[:, :, tf.newaxis]
    return tf.reshape(corners + cell, [-1, 4])


def position_keys(
    height: int | tf.Tensor, width: int | tf.Tensor, anchors_per_position: int
) -> tf.Tensor:
    """A number for each anchor of a grid that does not depend on the size of the grid.

    Returns:
        int32 [height * width * anchors_per_position]: distinct below 5,000 rows.
    """
    position = tf.range(height)[:, tf.newaxis] * 65536 + tf.range(width)
    keys = position[..., tf.newaxis] * anchors_per_position + tf.range(anchors_per_position)
    return tf.reshape(keys, [-1])
