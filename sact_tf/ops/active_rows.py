"""Index maps between feature maps and the compact rows of their active positions.

B batch, H W map, A active positions, E ring positions (neighbours of active positions that are not
active themselves), R = A + E rows, C channels. Rows are numbered from 1, the active ones first,
each part in the order of the map; number 0 stands for "no row" and reads as zeros, which is what a
3x3 convolution sees outside the image.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.conversion import is_converting
from sact_tf.ops.precision import at_least_float32
from sact_tf.ops.tiles import dilate

# From this width on, and up to this many images, sums over images are a product with their
# membership, which uses all cores, but grows with the number of images twice.
_PRODUCT_CHANNELS, PRODUCT_IMAGES = 128, 8


class ActiveRows(NamedTuple):
    """Which position each row holds, and where the neighbours of a row are.

    Attributes:
        outer: bool [B, H, W]. The active positions and their neighbours.
        active_positions: int32 [A], into the flattened map.
        ring_positions: int32 [E]; first the neighbours, then (reach 2) the neighbours' neighbours.
        num_outer: int32 scalar, number of rows at `outer` positions; they come before all others.
        row_numbers: int32 [B * H * W], 0 where there is no row.
        neighbours: int32 [R, 9], numbers of the rows around each row; column
            3 * (dy + 1) + dx + 1 is the neighbour (dy, dx).
        images: int32 [A], index in the batch of each active row.
    """

    outer: tf.Tensor
    active_positions: tf.Tensor
    ring_positions: tf.Tensor
    num_outer: tf.Tensor
    row_numbers: tf.Tensor
    neighbours: tf.Tensor
    images: tf.Tensor

    @property
    def num_active(self) -> tf.Tensor:
        return tf.size(self.active_positions)


def find_active_rows(
    active: tf.Tensor,
    valid: tf.Tensor | None = None,
    reach: int = 1,
    active_positions: tf.Tensor | None = None,
) -> ActiveRows:
    """Numbers the rows that a residual unit needs at the active positions.

    Args:
        active: bool [B, H, W].
        valid: optional bool [B, H, W]; no ring outside.
        reach: number of 3x3 convolutions that follow each other in the unit.
        active_positions: optional int32 [A], as in `ActiveRows`, where they are known already.

    Returns:
        `ActiveRows`.
    """
    if active_positions is None:
        active_positions = _where(active)
    rings, covered = [], active
    for _ in range(reach):
        wider = dilate(covered)
        if valid is not None:
            wider &= valid
        rings.append((wider, _where(wider & ~covered)))
        covered = wider
    outer, ring = rings[0]
    ring_positions = tf.concat([positions for _, positions in rings], axis=0)
    positions = tf.concat([active_positions, ring_positions], axis=0)
    shape = tf.shape(active)
    row_numbers = to_map(tf.range(1, tf.size(positions) + 1), positions, shape)
    return ActiveRows(
        outer=outer,
        active_positions=active_positions,
        ring_positions=ring_positions,
        num_outer=tf.size(active_positions) + tf.size(ring),
        row_numbers=tf.reshape(row_numbers, [-1]),
        neighbours=neighbours_at(row_numbers, positions),
        images=active_positions // (shape[1] * shape[2]),
    )


def _where(chosen):
    return tf.cast(tf.where(tf.reshape(chosen, [-1]))[:, 0], tf.int32)


def sum_by_image(features: tf.Tensor, rows: ActiveRows, batch: tf.Tensor) -> tf.Tensor:
    """Sum over the active rows of each image: [A, C] -> [B, C], at least float32."""

    @tf.custom_gradient
    def add(images, features):
        images = tf.identity(images)  # gradients in nested branches can't reach further out

        def by_segment():
            # The rows stand in the order of the images, the last of which may have none.
            sums = tf.math.segment_sum(features, images)
            return tf.pad(sums, [[0, batch - tf.shape(sums)[0]], [0, 0]])

        def by_product():
            membership = tf.range(batch)[:, tf.newaxis] == images
            return tf.matmul(tf.cast(membership, features.dtype), features)

        def gradient(upstream):
            return None, tf.gather(upstream, images)

        if is_converting():
            return by_product(), gradient
        if features.shape[-1] < _PRODUCT_CHANNELS:
            return by_segment(), gradient
        return tf.cond(batch <= PRODUCT_IMAGES, by_product, by_segment), gradient

    return add(rows.images, at_least_float32(features))


def count_by_image(rows: ActiveRows, batch: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Number of active rows of each image: [B, 1]."""
    count = tf.math.bincount(rows.images, minlength=batch, maxlength=batch)
    return tf.cast(count, dtype)[:, tf.newaxis]


def to_map(values: tf.Tensor, positions: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Puts values at positions of a map, zero elsewhere.

    Args:
        values: [P].
        positions: int32 [P], into the flattened map, none twice.
        shape: int32 tensor, B, H and W.

    Returns:
        [B, H, W].
    """
    wide = tf.cast(values, tf.int64) if values.dtype == tf.int32 else values  # as GPUs need it
    flat = tf.scatter_nd(positions[:, tf.newaxis], wide, tf.reduce_prod(shape)[tf.newaxis])
    return tf.cast(tf.reshape(flat, shape), values.dtype)


def neighbours_at(row_numbers: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Numbers of the rows around positions: column 3 * (dy + 1) + dx + 1 is the neighbour (dy, dx).

    Args:
        row_numbers: int32 [B, H, W]; see `ActiveRows`.
        positions: int32 [P], into the flattened map.

    Returns:
        int32 [P, 9].
    """
    height, width = tf.unstack(tf.shape(row_numbers)[1:])
    padded = tf.pad(row_numbers, [[0, 0], [1, 1], [1, 1]])
    # A position's own place before the padding is its window's corner after it: two more places in
    # for each row of the map above, and two more rows for each image before.
    above = positions // width
    corners = positions + 2 * above + 2 * (width + 2) * (above // height)
    offsets = tf.range(3)[:, tf.newaxis] * (width + 2) + tf.range(3)
    index = corners[:, tf.newaxis] + tf.reshape(offsets, [1, 9])
    return tf.gather(tf.reshape(padded, [-1]), index)
