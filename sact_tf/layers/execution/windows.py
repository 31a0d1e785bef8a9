"""SACT on whole tiles: a tile is computed as long as any of its positions is active.

The states stay on the map, in lines of a tile's width. A unit reads the active tiles and what is
around them as a batch of small maps, convolves it without padding, and writes the tiles back. What
has halted in them is masked, so that units, FLOPs and results are those of single positions. In
inference only. For narrow features, of which moving single positions takes longer than computing
them.

B batch, H W map, C channels, A tiles of h x w positions; see `sact_tf.ops.windows`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sact_tf.layers.execution.finished import Finished
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.ops import flops as flops_ops
from sact_tf.ops import windows as windows_ops
from sact_tf.ops.halting import HaltingState
from sact_tf.ops.positions import sum_over
from sact_tf.ops.precision import at_least_float32
from sact_tf.ops.windows import WindowGrid, Windows


class WindowWork(NamedTuple):
    """What is carried from unit to unit.

    Attributes:
        halting: `HaltingState` of maps [B, H, W].
        windows: `Windows` of the active tiles.
        lines: [lines, w, C]. States of the whole map.
        patches: [A, h + 2 reach, w + 2 reach, C]. States in the windows.
        output: [A, h, w, C]. Outputs of the active tiles so far.
        mean: [B, C]. Mean of each image's states.
    """

    halting: HaltingState
    windows: Windows
    lines: tf.Tensor
    patches: tf.Tensor
    output: tf.Tensor
    mean: tf.Tensor


class WindowForm:
    """The active tiles of a block as windows; see `CompactForm`.

    Args:
        grid: `WindowGrid` of the block's maps.
        valid: optional bool [B, H, W]; what is not padding.
    """

    def __init__(self, grid: WindowGrid, valid: tf.Tensor | None) -> None:
        self.grid = grid
        self.valid = valid

    def share(self, active: tf.Tensor) -> tf.Tensor:
        """Share of the tiles that have a window."""
        tiles = windows_ops.tiles_with_any(active, self.grid)
        return tf.reduce_mean(tf.cast(tiles, tf.float32))

    def nothing(self, state: tf.Tensor, halting: HaltingState, mean: tf.Tensor) -> WindowWork:
        """Work without windows."""
        lines = windows_ops.to_lines(state[:0], self.grid._replace(batch=0))
        return self._start(lines, tf.zeros_like(halting.active), None, halting, mean)

    def gather(
        self,
        state: tf.Tensor,
        output: tf.Tensor | None,
        halting: HaltingState,
        mean: tf.Tensor,
    ) -> WindowWork:
        """Moves from maps to windows."""
        lines = windows_ops.to_lines(state, self.grid)
        return self._start(lines, halting.active, output, halting, mean)

    def run_unit(
        self,
        unit: Any,
        policy: HaltingPolicy,
        index: int,
        work: WindowWork,
        training: bool | None = None,
    ) -> tuple[WindowWork, tf.Tensor, Finished, tf.Tensor]:
        """One unit on the active windows, its halting score, and what follows from it."""
        if training:
            raise ValueError("Windows have no batch statistics, received training=True")
        halting, windows = work.halting, work.windows
        flops = policy.flops(index, unit, halting.active, None, self.valid)
        active = windows_ops.read_tiles(halting.active, windows, self.grid)
        residual = unit.residual_windows(work.patches, windows.inside)
        remainder = windows_ops.read_tiles(halting.remainder, windows, self.grid)
        remainder = tf.where(active, remainder, tf.zeros_like(remainder))
        output = work.output + residual * tf.cast(remainder, residual.dtype)[..., tf.newaxis]
        work = work._replace(output=output)
        if not policy.has_score(index):
            halting, weight = policy.step(index, halting, None)
            return work._replace(halting=halting), weight, self.left(work), flops
        residual *= tf.cast(active, residual.dtype)[..., tf.newaxis]
        state = _centre(work.patches, unit.reach) + residual
        lines = windows_ops.write_tiles(work.lines, state, windows)
        patches = windows_ops.read_windows(lines, windows)
        mean = self._mean(work.mean, residual, windows)
        score = policy.score_windows(index, patches, windows, self.grid, mean, self.valid)
        halting, weight = policy.step(index, halting, score)
        work = WindowWork(halting, windows, lines, patches, output, mean)
        work, finished = self._compact(work)
        return work, weight, finished, flops

    def left(self, work: WindowWork) -> Finished:
        """All that is still active, with its outputs."""
        number = work.windows.num_tiles
        return Finished(*windows_ops.lines_of(work.windows.lines[:number], work.output[:number]))

    def put_into(self, maps: tf.Tensor, chunks: Sequence[Finished]) -> tf.Tensor:
        """Puts what has halted into the maps."""
        lines = windows_ops.to_lines(maps, self.grid)
        # As tensors of this graph: gradients in nested branches can't reach further out.
        positions = tf.concat([tf.identity(chunk.positions) for chunk in chunks], axis=0)
        output = tf.concat([chunk.output for chunk in chunks], axis=0)
        lines = tf.tensor_scatter_nd_update(lines, positions[:, tf.newaxis], output)
        return tf.ensure_shape(windows_ops.from_lines(lines, self.grid), maps.shape)

    def _start(self, lines, active, output, halting, mean):
        tiles = windows_ops.tiles_with_any(active, self.grid)
        tiles = tf.cast(tf.where(tiles)[:, 0], tf.int32)
        windows = windows_ops.find_windows(tiles, self.grid, self.valid)
        patches = windows_ops.read_windows(lines, windows)
        tile_output = _centre(patches, self.grid.reach)
        if output is not None:
            # sum of p_l x_l up to here + R x is x_1 + sum of R_l f_l, which windows carry on.
            remainder = tf.where(halting.active, halting.remainder, 0)
            remainder = windows_ops.read_tiles(remainder, windows, self.grid)
            tile_output *= tf.cast(remainder, lines.dtype)[..., tf.newaxis]
            tile_output += windows_ops.read_tiles(output, windows, self.grid)
        return WindowWork(halting, windows, lines, patches, tile_output, mean)

    def _mean(self, mean, residual, windows):
        """The mean of each image's states after a residual was added."""
        sums = sum_over(at_least_float32(residual))
        membership = tf.range(tf.shape(mean)[0])[:, tf.newaxis] == windows.images
        total = tf.matmul(tf.cast(membership, sums.dtype), sums)
        shape = [self.grid.batch, self.grid.height, self.grid.width]
        count = tf.cast(flops_ops.map_positions(shape, self.valid), total.dtype)
        return mean + tf.math.divide_no_nan(total, count[:, tf.newaxis])

    def _compact(self, work):
        """Drops the windows in which nothing is active any more: `(work, finished)`."""
        own = work.windows.tiles[: work.windows.num_tiles]
        still = tf.gather(windows_ops.tiles_with_any(work.halting.active, self.grid), own)
        kept, gone = (tf.cast(tf.where(chosen)[:, 0], tf.int32) for chosen in (still, ~still))
        windows, source = windows_ops.keep_windows(work.windows, kept, self.grid)
        left = tf.gather(work.windows.lines, gone), tf.gather(work.output, gone)
        work = work._replace(
            windows=windows,
            patches=tf.gather(work.patches, source),
            output=tf.gather(work.output, source),
        )
        return work, Finished(*windows_ops.lines_of(*left))


def _centre(patches, reach):
    return patches[:, reach:-reach, reach:-reach]
