"""What a block hands to an execution, and what it gets back.

B batch, H W map at the resolution of the block's output, C channels.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.halting import HaltingState


class Entry(NamedTuple):
    """What enters the units that may halt.

    Attributes:
        state: [B, H, W, C]. Output of the first unit.
        mean: [B, C]. Its mean over each image, where it is known already; else None.
        valid: bool [B, H, W]. What is not padding; None is all.
        training: whether batch normalization uses the statistics of this batch.
    """

    state: tf.Tensor
    mean: tf.Tensor | None
    valid: tf.Tensor | None
    training: bool | None


class BlockResult(NamedTuple):
    """What the execution of a block computed.

    Attributes:
        output: [B, H, W, C]. States weighted by the halting distribution (arXiv:1612.02297,
            eq. 10).
        halting: the `HaltingState` after the last unit.
        weights: one tensor per unit, of the shape of the halting state: the halting distribution.
        flops: int64 [B]. Operations of all units but the first and of all halting scores.
    """

    output: tf.Tensor
    halting: HaltingState
    weights: list[tf.Tensor]
    flops: tf.Tensor
