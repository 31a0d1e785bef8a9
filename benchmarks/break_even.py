"""From which share of active positions on are compact rows slower than a dense unit?

python -m benchmarks.break_even --image_size=600x1000 --json=break_even.json

For a block of every width of ResNet-50 to 200, at the size its maps have: equal units that all run
at the same share of the positions, on rows and densely (both with their halting scores, and the
latter as `auto` runs it), interleaved, against the plain block. `DENSE_SHARE` in
sact_tf/layers/tuning.py is where the two cross.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks import measure
from benchmarks.halting_maps import blobs, script_block
from benchmarks.options import image_size
from sact_tf import timing
from sact_tf.command_line import run
from sact_tf.errors import UserError
from sact_tf.layers import AdaptiveBlock, BottleneckUnit
from sact_tf.ops.positions import strided_size

# Side of a position in pixels, and the width its units work in.
BLOCKS = {"block1": (4, 64), "block2": (8, 128), "block3": (16, 256), "block4": (32, 512)}


def define_flags():
    flags.DEFINE_string("image_size", "600x1000", "HEIGHTxWIDTH.")
    flags.DEFINE_integer("batch", 1, "Images per batch.", lower_bound=1)
    flags.DEFINE_list("blocks", list(BLOCKS), "Which blocks.")
    flags.DEFINE_list("shares", ["0.3", "0.5", "0.6", "0.7", "0.8", "0.9", "1"], "Active.")
    flags.DEFINE_integer("tile_size", 1, "Positions along a side of a tile.", lower_bound=1)
    flags.DEFINE_integer("units", 6, "Units of the block.", lower_bound=2)
    flags.DEFINE_integer("runs", 11, "Turns that count.", lower_bound=1)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    height, width = image_size(flags.FLAGS.image_size)
    if unknown := set(flags.FLAGS.blocks) - set(BLOCKS):
        raise UserError(f"--blocks: expected some of {list(BLOCKS)}, received {sorted(unknown)}")
    rows = []
    print("block   map       share    rows   dense   (times over those of the plain block)")
    for name in flags.FLAGS.blocks:
        stride, filters = BLOCKS[name]
        block = TimedBlock(strided_size(height, stride), strided_size(width, stride), filters)
        for share in map(float, flags.FLAGS.shares):
            row = {"block": name, "map_size": block.size, "share": share, **block.measure(share)}
            rows.append(row)
            size = "x".join(map(str, block.size))
            print(
                f"{name}  {size:9s} {share:4.2f}  {row['rows']:6.3f}  {row['dense']:6.3f}",
                flush=True,
            )
        print(f"{name}: rows and dense cross at {crossing(rows, name)}")
    measure.write_json(flags.FLAGS.json, rows)


def crossing(rows, name):
    """Share at which both take the same time, between the measured ones; "no share" if none."""
    rows = [row for row in rows if row["block"] == name]
    for before, after in zip(rows, rows[1:], strict=False):
        low, high = (row["rows"] - row["dense"] for row in (before, after))
        if low <= 0 < high:
            share = before["share"] + (after["share"] - before["share"]) * -low / (high - low)
            return f"{share:.2f}"
    return "no share"


class TimedBlock:
    """A plain block and an adaptive one of the same units, compiled."""

    def __init__(self, height, width, filters):
        self.size = [height, width]
        channels = 4 * filters
        self.num_units = tf.Variable(tf.zeros([flags.FLAGS.batch, height, width], tf.int32))
        maps = tf.random.stateless_normal([flags.FLAGS.batch, height, width, channels], [0, 1])

        def make(**options):
            keras.utils.set_random_seed(0)
            block = AdaptiveBlock(
                [BottleneckUnit(filters) for _ in range(flags.FLAGS.units)],
                tile_size=flags.FLAGS.tile_size,
                **options,
            )
            block.build((None, None, None, channels))
            return block

        def compiled(block):
            function = tf.function(lambda: block(maps)[0], autograph=False)
            return function.get_concrete_function()

        self._functions = {"plain": compiled(make())}
        for name, dense_share in (("rows", 1.0), ("dense", 0.0)):
            block = make(halting="sact", execution="auto", dense_share=dense_share)
            script_block(block, self.num_units)
            self._functions[name] = compiled(block)

    def measure(self, share):
        """Medians of the ratios to the plain block, by execution."""
        shares = [share] * (flags.FLAGS.units - 1)
        maps = [
            blobs(self.size, shares, flags.FLAGS.tile_size, np.random.default_rng(image))
            for image in range(flags.FLAGS.batch)
        ]
        self.num_units.assign(np.stack(maps))
        times = timing.interleaved(self._functions, flags.FLAGS.runs)
        return {
            name: timing.ratios(times[name], times["plain"])["time_ratio"]
            for name in ("rows", "dense")
        }


if __name__ == "__main__":
    run(main, define_flags)
