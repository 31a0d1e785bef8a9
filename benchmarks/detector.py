"""How much of a detector's time does its adaptive extractor save? Interleaved, one image.

python -m benchmarks.detector --depth=101 --image_size=600x1000 --active_share=0.45 --json=out.json

Dense is the same Faster R-CNN with halting=None. The box classifier (the network's last block, on
crops of every proposal) is not adaptive, and costs the same in every row.
"""

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import sact_tf
from benchmarks import halting_maps, measure
from benchmarks.options import define_depth, image_size
from sact_tf import timing
from sact_tf.command_line import run
from sact_tf.detection import FasterRCNN
from sact_tf.models import ResNetBackbone

NUM_CLASSES = 80


def define_flags():
    define_depth(101)
    flags.DEFINE_string("image_size", "600x1000", "HEIGHTxWIDTH.")
    flags.DEFINE_float(
        "active_share", 0.45, "Of the positions, mean over the units after the first.", 0.0, 0.8
    )
    flags.DEFINE_integer("num_proposals", 300, "Regions to classify.", lower_bound=1)
    flags.DEFINE_integer("runs", 7, "Turns that count.", lower_bound=1)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    height, width = image_size(flags.FLAGS.image_size)
    keras.utils.set_random_seed(0)
    dense, adaptive = (
        FasterRCNN(
            ResNetBackbone.from_depth(flags.FLAGS.depth, halting=halting),
            NUM_CLASSES,
            num_proposals=flags.FLAGS.num_proposals,
        )
        for halting in (None, "sact")
    )
    adaptive.warm_start(dense)
    script_extractor(adaptive, height, width)
    images = tf.random.stateless_normal([1, height, width, 3], [0, 1])
    functions = {}
    for name, model in (("dense", dense), ("masked", adaptive), ("tiled", adaptive)):
        if name != "dense":
            sact_tf.set_execution(model, name)
        for part, function in parts_of(model).items():
            function(images)  # traced while the execution is this one
            functions[part, name] = lambda function=function: function(images).numpy()
    ratio = int(adaptive(images)["flops"][0]) / dense.plain_flops(height, width)
    times = timing.interleaved(functions, flags.FLAGS.runs)
    rows = []
    print(f"ResNet-{flags.FLAGS.depth}, {height}x{width}, {flags.FLAGS.num_proposals} proposals")
    print("part       execution  extractor FLOPs  time (quartiles)       ms")
    for (part, name), values in times.items():
        row = {
            "part": part,
            "execution": name,
            "image_size": [height, width],
            "extractor_flops_ratio": 1.0 if name == "dense" else ratio,
            **timing.ratios(values, times[part, "dense"]),
        }
        rows.append(row)
        print(
            f"{part:10s} {name:10s} {row['extractor_flops_ratio']:15.3f} {row['time_ratio']:6.3f}"
            f" ({row['time_ratio_min']:.3f} - {row['time_ratio_max']:.3f})"
            f" {row['milliseconds']:8.0f}"
        )
    measure.write_json(flags.FLAGS.json, rows)


def script_extractor(model, height, width):
    """Makes the extractor look at a few blobs, as `halting_maps.blob_maps` does."""
    strides = [model.backbone.strides[block.name] for block in model.extractor]
    sizes = halting_maps.map_sizes(strides, height, width)
    first = 1.25 * flags.FLAGS.active_share
    last = 2 * flags.FLAGS.active_share - first
    for block, size in zip(model.extractor, sizes, strict=True):
        shares = np.linspace(first, last, max(halting_maps.count_units(block) - 1, 1))
        units = halting_maps.blobs(size, shares, 1, np.random.default_rng(0))
        halting_maps.script_block(block, tf.Variable(units[np.newaxis].astype(np.int32)))


def parts_of(model):
    """Compiled functions of images: the whole detector, and its extractor alone."""
    block = model.feature_block

    def extractor(images):
        # All of it is computed for the sum; fetching it would be timed, too.
        outputs = model.backbone.forward(images, training=False, last_block=block)
        return tf.reduce_sum(outputs["features"][block])

    return {
        "detector": tf.function(lambda images: model(images)["boxes"], autograph=False),
        "extractor": tf.function(extractor, autograph=False),
    }


if __name__ == "__main__":
    run(main, define_flags)
