"""What static execution takes, compiled by XLA, beside the plain network compiled by XLA.

python -m benchmarks.static_execution --depth=101 --image_size=600x1000 --flops_ratio=0.25,0.5,0.75

Positions halt where a script wants them to (as in `benchmarks.tiled_execution`), and each unit's
capacity is as many as that, times --slack. All ratios are to `dense_xla`, of medians over turns in
which every function runs once.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import sact_tf
from benchmarks import halting_maps, measure
from benchmarks.options import check_executions, define_depth, float_or_all, image_size
from sact_tf import timing
from sact_tf.command_line import run
from sact_tf.models import ImageClassifier, ResNetBackbone

ADAPTIVE = ("masked", "static", "auto")
EXECUTIONS = ("dense_xla", "dense", "masked_xla", "static_xla", *ADAPTIVE)
NUM_CLASSES = 1001


def define_flags():
    define_depth(101)
    flags.DEFINE_string("image_size", "600x1000", "HEIGHTxWIDTH.")
    flags.DEFINE_list("flops_ratio", ["0.5"], "Or `all`.")
    flags.DEFINE_float("slack", 1.0, "Capacity over the positions that are active.", 1.0)
    flags.DEFINE_integer("tile_size", 1, "Positions along a side that halt as one.", 1)
    flags.DEFINE_list(
        "executions", ["dense_xla", "masked_xla", "static_xla"], ", ".join(EXECUTIONS)
    )
    flags.DEFINE_integer("runs", 11, "Turns that count.", lower_bound=1)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    height, width = image_size(flags.FLAGS.image_size)
    check_executions(flags.FLAGS.executions, EXECUTIONS)
    rows = []
    for text in flags.FLAGS.flops_ratio:
        rows += _measure(height, width, float_or_all(text))
    measure.write_json(flags.FLAGS.json, rows)


def _measure(height, width, target):
    images = tf.random.stateless_normal([1, height, width, 3], [0, 1])
    tile_sizes = (flags.FLAGS.tile_size,) * 4
    dense, model = _classifier(halting=None), _classifier(halting="sact", tile_size=tile_sizes)
    halting_maps.fresh_scores(model)
    maps, ratio = halting_maps.maps_for_ratio(model, height, width, target, tile_sizes, 1)
    halting_maps.script_halting(model, [tf.Variable(units) for units in maps])
    sact_tf.set_capacities(model, [_capacities(units, flags.FLAGS.slack) for units in maps])
    functions = {
        name: _compiled(name, dense if name.startswith("dense") else model, images)
        for name in dict.fromkeys(["dense_xla", *flags.FLAGS.executions])
    }
    times = timing.interleaved(functions, flags.FLAGS.runs)
    print(f"\n{height}x{width}, tile size {tile_sizes[0]}, capacities x {flags.FLAGS.slack:g}")
    print("execution     FLOPs  time (quartiles)       ms")
    rows = []
    for name in functions:
        row = {
            "execution": name,
            "flops_ratio": 1.0 if name.startswith("dense") else ratio,
            "slack": flags.FLAGS.slack,
            **timing.ratios(times[name], times["dense_xla"]),
        }
        print(
            f"{name:12s} {row['flops_ratio']:6.3f} {row['time_ratio']:6.3f}"
            f" ({row['time_ratio_min']:.3f} - {row['time_ratio_max']:.3f})"
            f" {row['milliseconds']:8.0f}",
            flush=True,
        )
        rows.append(row)
    return rows


def _capacities(units, slack):
    """As many as are active, and some more: tiles hold equal positions, so shares are theirs."""
    size = flags.FLAGS.tile_size
    tiles = units[:, ::size, ::size]
    shares = [np.mean(tiles > number) for number in range(1, units.max())]
    return [min(1.0, max(float(share) * slack, 1 / tiles.size)) for share in shares]


def _compiled(name, model, images):
    """A function without arguments that returns logits."""
    execution = name.removesuffix("_xla")
    if execution in ADAPTIVE:
        sact_tf.set_execution(model, execution)

    @functools.partial(tf.function, autograph=False, jit_compile=name.endswith("_xla"))
    def logits():
        return model(images, training=False)

    function = logits.get_concrete_function()
    return lambda: np.asarray(function())


def _classifier(**options):
    keras.utils.set_random_seed(0)
    return ImageClassifier(ResNetBackbone.from_depth(flags.FLAGS.depth, **options), NUM_CLASSES)


if __name__ == "__main__":
    run(main, define_flags)
