"""From which share of active positions on are rows and windows slower than a dense unit?

python -m benchmarks.break_even --image_size=600x1000 --windows=8,16 --json=break_even.json
python -m benchmarks.break_even --unit=basic --image_size=96x96 --batch=64 --base_channels=12

For a block of every width of ResNet-50 to 200 (or of a CIFAR network), at the size its maps have:
equal units that all run at the same share of the positions, on rows, in windows of some sizes and
densely (all with their halting scores, the last as `auto` runs it), interleaved, against the plain
block. sact_tf/layers/costs.py holds what comes out; `sact_tf.tuning.tune` measures it of a model.
"""

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
from sact_tf.layers import AdaptiveBlock, BasicUnit, BottleneckUnit
from sact_tf.ops.positions import strided_size

# By unit: side of a position in pixels, and the width its units work in over that of the first.
BLOCKS = {
    "bottleneck": {"block1": (4, 1), "block2": (8, 2), "block3": (16, 4), "block4": (32, 8)},
    "basic": {"block1": (1, 1), "block2": (2, 2), "block3": (4, 4)},
}
UNITS = {"bottleneck": BottleneckUnit, "basic": BasicUnit}


def define_flags():
    flags.DEFINE_string("image_size", "600x1000", "HEIGHTxWIDTH.")
    flags.DEFINE_integer("batch", 1, "Images per batch.", lower_bound=1)
    flags.DEFINE_enum("unit", "bottleneck", list(UNITS), "Kind of the units.")
    flags.DEFINE_integer("base_channels", 64, "Width of the first block's units.", lower_bound=1)
    flags.DEFINE_list("blocks", None, "Which blocks; default: all.")
    flags.DEFINE_list("windows", ["8", "16"], "Sizes of windows.")
    flags.DEFINE_list("shares", ["0.3", "0.5", "0.6", "0.7", "0.8", "0.9", "1"], "Active.")
    flags.DEFINE_integer("tile_size", 1, "Positions along a side of a tile.", lower_bound=1)
    flags.DEFINE_integer("units", 6, "Units of the block.", lower_bound=2)
    flags.DEFINE_integer("runs", 11, "Turns that count.", lower_bound=1)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    height, width = image_size(flags.FLAGS.image_size)
    blocks = BLOCKS[flags.FLAGS.unit]
    chosen = flags.FLAGS.blocks or list(blocks)
    if unknown := set(chosen) - set(blocks):
        raise UserError(f"--blocks: expected some of {list(blocks)}, received {sorted(unknown)}")
    forms = ["rows", *(f"windows {size}" for size in flags.FLAGS.windows)]
    rows = []
    print("times over those of the plain block")
    print("  ".join(f"{name:>10s}" for name in ("block", "map", "share", *forms, "dense")))
    for name in chosen:
        stride, factor = blocks[name]
        sides = [strided_size(side, stride) for side in (height, width)]
        block = TimedBlock(sides, flags.FLAGS.base_channels * factor, forms)
        for share in map(float, flags.FLAGS.shares):
            times = block.measure(share)
            rows.append({"block": name, "map_size": block.size, "share": share, **times})
            cells = [name, "x".join(map(str, block.size)), f"{share:.2f}"]
            cells += [f"{time:.3f}" for time in times.values()]
            print("  ".join(f"{cell:>10s}" for cell in cells), flush=True)
        for form in forms:
            print(f"{name}: {form} and dense cross at {crossing(rows, name, form)}")
    measure.write_json(flags.FLAGS.json, rows)


def crossing(rows, name, form):
    """Share at which both take the same time, between the measured ones; "no share" if none."""
    rows = [row for row in rows if row["block"] == name]
    for before, after in zip(rows, rows[1:], strict=False):
        low, high = (row[form] - row["dense"] for row in (before, after))
        if low <= 0 < high:
            share = before["share"] + (after["share"] - before["share"]) * -low / (high - low)
            return f"{share:.2f}"
    return "no share"


class TimedBlock:
    """A plain block and an adaptive one of the same units, compiled."""

    def __init__(self, size, filters, forms):
        self.size = size
        unit = UNITS[flags.FLAGS.unit]
        channels = unit(filters).out_channels
        self.num_units = tf.Variable(tf.zeros([flags.FLAGS.batch, *size], tf.int32))
        maps = tf.random.stateless_normal([flags.FLAGS.batch, *size, channels], [0, 1])

        def make(**options):
            keras.utils.set_random_seed(0)
            block = AdaptiveBlock(
                [unit(filters) for _ in range(flags.FLAGS.units)],
                tile_size=flags.FLAGS.tile_size if options else 1,
                **options,
            )
            block.build((None, None, None, channels))
            return block

        def compiled(block):
            function = tf.function(lambda: block(maps)[0], autograph=False)
            return function.get_concrete_function()

        self._functions = {"plain": compiled(make())}
        options = {"dense": {"execution": "auto", "costs": {"rows": (2, 0)}}}
        for form in forms:
            costs = {"rows": (0, 1)}
            if form != "rows":
                costs = {"windows": (0, 1), "window": int(form.split()[1])}
            options[form] = {"execution": "tiled", "costs": costs}
        for form in (*forms, "dense"):
            block = make(halting="sact", **options[form])
            script_block(block, self.num_units)
            self._functions[form] = compiled(block)

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
            for name in self._functions
            if name != "plain"
        }


if __name__ == "__main__":
    run(main, define_flags)
