"""Does a training step follow the FLOPs? Forward, backward and update, interleaved.

python -m benchmarks.training_step --depth=50 --image_size=224x224 --batch=4 --flops_ratio=0.5 \
    --json=out.json
python -m benchmarks.training_step --cifar_units=5 --image_size=32x32 --batch=64 --flops_ratio=all \
    --executions=stock,dense,masked_full,tiled

Dense is the same network with halting=None, stock a dense one of Keras' own layers; ratios are to
stock where it is timed, else to dense. Tiled and masked train with batch statistics of the
evaluated positions, masked_full with those of the full map (the authors' way).
"""

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import sact_tf
from benchmarks import halting_maps, measure
from benchmarks.options import check_executions, define_depth, float_or_all, image_size, tile_sizes
from benchmarks.stock_network import stock_network
from sact_tf import timing
from sact_tf.command_line import run
from sact_tf.models import ImageClassifier, ResNetBackbone

EXECUTIONS = ("stock", "dense", "masked_full", "masked", "tiled")
NUM_CLASSES = 1001


def define_flags():
    define_depth(50)
    flags.DEFINE_integer(
        "cifar_units", None, "Units per block of a CIFAR network, instead of --depth.", 1
    )
    flags.DEFINE_string("image_size", "224x224", "HEIGHTxWIDTH.")
    flags.DEFINE_integer("batch", 4, "Images per batch.", lower_bound=1)
    flags.DEFINE_list("flops_ratio", ["0.5"], "Of the forward pass; or `all`.")
    flags.DEFINE_list("tile_size", ["1"], "One, or one per block.")
    flags.DEFINE_list("executions", ["dense", "masked", "tiled"], ", ".join(EXECUTIONS))
    flags.DEFINE_integer("runs", 11, "Turns that count.", lower_bound=1)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    check_executions(flags.FLAGS.executions, EXECUTIONS)
    height, width = image_size(flags.FLAGS.image_size)
    tiles = tile_sizes(flags.FLAGS.tile_size)[: 3 if flags.FLAGS.cifar_units else 4]
    keras.utils.set_random_seed(0)
    base = "stock" if "stock" in flags.FLAGS.executions else "dense"
    names = list(dict.fromkeys([base, *flags.FLAGS.executions]))
    trainers = {name: Trainer(name, height, width, tiles) for name in names}
    adaptive = [trainer for trainer in trainers.values() if trainer.num_units]
    rows = []
    for text in flags.FLAGS.flops_ratio:
        if adaptive:
            maps, ratio = halting_maps.maps_for_ratio(
                adaptive[0].model, height, width, float_or_all(text), tiles, flags.FLAGS.batch
            )
        for trainer in adaptive:
            trainer.set_maps(maps)
        times = timing.interleaved({n: t.step for n, t in trainers.items()}, flags.FLAGS.runs)
        print(f"\n{flags.FLAGS.batch} x {height}x{width}, tile size {tiles}")
        print("execution     FLOPs  time (quartiles)       ms")
        for name, trainer in trainers.items():
            row = {
                "execution": name,
                "tile_size": tiles,
                "image_size": [height, width],
                "batch": flags.FLAGS.batch,
                "flops_ratio": ratio if trainer.num_units else 1.0,
                **timing.ratios(times[name], times[base]),
            }
            rows.append(row)
            print(
                f"{name:12s} {row['flops_ratio']:6.3f} {row['time_ratio']:6.3f}"
                f" ({row['time_ratio_min']:.3f} - {row['time_ratio_max']:.3f})"
                f" {row['milliseconds']:8.0f}",
                flush=True,
            )
    measure.write_json(flags.FLAGS.json, rows)


def classifier(name, tiles):
    """The network for an execution; for stock layers, the one to be copied."""
    options = {"halting": None}
    if name not in ("stock", "dense"):
        statistics = "full" if name.endswith("_full") else "evaluated"
        options = {"halting": "sact", "tile_size": tiles, "statistics": statistics}
    if flags.FLAGS.cifar_units:
        return ImageClassifier(ResNetBackbone.cifar(flags.FLAGS.cifar_units, **options), 10)
    return ImageClassifier(ResNetBackbone.from_depth(flags.FLAGS.depth, **options), NUM_CLASSES)


class Trainer:
    """One network and its compiled training step: forward, backward, momentum update."""

    def __init__(self, name, height, width, tiles):
        self.model = classifier(name, tiles)
        self.num_units = None
        if name not in ("stock", "dense"):
            sizes = halting_maps.map_sizes(self.model.backbone.strides.values(), height, width)
            self.num_units = [
                tf.Variable(tf.zeros([flags.FLAGS.batch, *size], tf.int32), trainable=False)
                for size in sizes
            ]
            halting_maps.script_halting(self.model, self.num_units)
            sact_tf.set_execution(self.model, name.removesuffix("_full"))
        if name == "stock":
            self.model = stock_network(self.model, height, width)
        images = tf.random.stateless_normal([flags.FLAGS.batch, height, width, 3], [0, 1])
        labels = tf.constant(np.arange(flags.FLAGS.batch) % 10)
        # Small steps: the network must not drift while it is being timed.
        optimizer = keras.optimizers.SGD(1e-6, momentum=0.9)
        variables = self.model.trainable_variables
        optimizer.build(variables)

        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                logits, ponder_loss = self.logits_and_ponder_loss(images)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
                loss += ponder_loss
            gradients = tape.gradient(
                loss,
                [variable.value for variable in variables],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            optimizer.apply(gradients, variables)
            return loss

        self._step = step

    def logits_and_ponder_loss(self, images):
        if not isinstance(self.model, ImageClassifier):
            return self.model(images, training=True), 0.0
        outputs = self.model.forward(images, training=True)
        return outputs["logits"], outputs["ponder_loss"]

    def step(self):
        loss = float(self._step())
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}")

    def set_maps(self, maps):
        for variable, values in zip(self.num_units, maps, strict=True):
            variable.assign(values)


if __name__ == "__main__":
    run(main, define_flags)
