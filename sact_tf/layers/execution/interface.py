"""What a block hands to an execution, and what it gets back.

B batch, H W map at the resolution of the block's output, C channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops.halting import HaltingState


class Entry(NamedTuple):
    """What enters the units that may halt.

    Attributes:
        state: [B, H, W, C]. Output of the last entry unit.
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
        flops: int64 [B]. Operations of all units after the entry and of all halting scores.
    """

    output: tf.Tensor
    halting: HaltingState
    weights: list[tf.Tensor]
    flops: tf.Tensor


class CompactForm(Protocol):
    """What an execution computes instead of whole maps, and how; one for each call of a block.

    `Work` is whatever the form carries from unit to unit; it has the attributes `halting` (the
    `HaltingState` of maps [B, H, W]) and `mean` ([B, C], the mean of each image's states).
    """

    def share(self, active: tf.Tensor) -> tf.Tensor:
        """Share of the map that is computed for the active positions: bool [B, H, W] -> scalar."""
        raise NotImplementedError

    def nothing(self, state: tf.Tensor, halting: HaltingState, mean: tf.Tensor) -> Any:
        """`Work` of nothing, with maps' `halting` and `mean`, of the same types as `gather`'s."""
        raise NotImplementedError

    def gather(
        self, state: tf.Tensor, output: tf.Tensor | None, halting: HaltingState, mean: tf.Tensor
    ) -> Any:
        """`Work` of what is active.

        Args:
            state: [B, H, W, C].
            output: [B, H, W, C], the states so far weighted by the halting distribution (of what
                has halted, the output); None after the first unit.
            halting: `HaltingState`.
            mean: [B, C].
        """
        raise NotImplementedError

    def run_unit(
        self, unit: Any, policy: HaltingPolicy, index: int, work: Any, training: bool | None
    ) -> tuple[Any, tf.Tensor, Finished, tf.Tensor]:
        """One unit on what is active, its halting score, and what follows from it.

        Returns:
            `(work, weight, finished, flops)`: the weight of the unit in the halting distribution,
            [B, H, W], what leaves the computation, and operations, int64 [B].
        """
        raise NotImplementedError

    def left(self, work: Any) -> Finished:
        """All that is in the computation."""
        raise NotImplementedError

    def put_into(self, maps: tf.Tensor, chunks: Sequence[Finished]) -> tf.Tensor:
        """Puts what has left the computation into maps [B, H, W, C]."""
        raise NotImplementedError
