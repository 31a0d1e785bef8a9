"""Does the time follow the FLOPs? Dense, masked, tiled and auto execution, interleaved.

python -m benchmarks.tiled_execution --depth=101 --image_size=600x1000 --batch=1 \
    --flops_ratio=0.25,0.4,0.56,0.75,all --json=out.json

Dense is the same backbone with halting=None. All ratios are to dense, of medians over turns in
which every function runs once; `all` is everything active. --executions adds `dense_xla`,
`keras_applications` and `keras_applications_xla`, and NAME_folded of `dense` and the adaptive ones:
with batch normalizations folded into convolutions, as in an export.
"""

import functools
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import sact_tf
from benchmarks import halting_maps, measure
from benchmarks.options import check_executions, define_depth, float_or_all, image_size, tile_sizes
from sact_tf import timing
from sact_tf.command_line import run
from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier, ResNetBackbone
from sact_tf.serving.export.folding import folded_copy

ADAPTIVE = ("masked", "tiled", "auto")
EXECUTIONS = (
    "dense",
    *ADAPTIVE,
    "dense_xla",
    "keras_applications",
    "keras_applications_xla",
    *(f"{name}_folded" for name in ("dense", *ADAPTIVE)),
)
NUM_CLASSES = 1001


def define_flags():
    define_depth(101)
    flags.DEFINE_string("image_size", "600x1000", "HEIGHTxWIDTH.")
    flags.DEFINE_integer("batch", 1, "Images per batch.", lower_bound=1)
    flags.DEFINE_list("flops_ratio", ["0.25", "0.4", "0.56", "0.75", "all"], "Or `all`.")
    flags.DEFINE_list("tile_size", ["1"], "One, or one per block.")
    flags.DEFINE_list("executions", ["dense", *ADAPTIVE], ", ".join(EXECUTIONS))
    flags.DEFINE_integer("runs", 11, "Turns that count.", lower_bound=1)
    flags.DEFINE_bool("memory", True, "Measure peak memory, in a process per execution.")
    flags.DEFINE_string("json", None, "Where to write the results.")
    flags.DEFINE_string("peak_of", None, "Internal: print one execution's peak and end.")


def main(argv):
    del argv
    height, width = image_size(flags.FLAGS.image_size)
    check_executions(flags.FLAGS.executions, EXECUTIONS)
    targets = [float_or_all(text) for text in flags.FLAGS.flops_ratio]
    if flags.FLAGS.peak_of:
        print(_peak(flags.FLAGS.peak_of, targets[0], height, width))
        return
    bench = Bench(height, width)
    cases = [bench.maps(target) for target in targets]
    rows = []
    for (maps, ratio), text in zip(cases, flags.FLAGS.flops_ratio, strict=True):
        rows += bench.measure(maps, ratio, text)
    measure.write_json(flags.FLAGS.json, rows)


class Bench:
    """The networks of one image size, and their measurements."""

    def __init__(self, height, width):
        self.height, self.width = height, width
        self.images = tf.random.stateless_normal([flags.FLAGS.batch, height, width, 3], [0, 1])
        self.tile_sizes = tile_sizes(flags.FLAGS.tile_size)
        self._functions = {}

    @functools.cached_property
    def model(self):
        """The adaptive network, with scripted halting."""
        model = self._adaptive()
        halting_maps.script_halting(model, self.num_units)
        return model

    @functools.cached_property
    def folded_model(self):
        """The same folded; made only where it is measured, for its weights take memory."""
        model = folded_copy(self._adaptive())[0]
        halting_maps.script_halting(model, self.num_units)
        return model

    def _adaptive(self):
        keras.utils.set_random_seed(0)  # the same weights each time
        model = _classifier(halting="sact", tile_size=self.tile_sizes)
        halting_maps.fresh_scores(model)
        return model

    @functools.cached_property
    def num_units(self):
        """Units per position, an int32 variable [B, H, W] for each block."""
        sizes = halting_maps.map_sizes((4, 8, 16, 32), self.height, self.width)
        return [
            tf.Variable(tf.zeros([flags.FLAGS.batch, *size], tf.int32), trainable=False)
            for size in sizes
        ]

    def maps(self, target):
        return halting_maps.maps_for_ratio(
            self.model, self.height, self.width, target, self.tile_sizes, flags.FLAGS.batch
        )

    def function(self, execution):
        """A compiled function without arguments that returns logits (and FLOPs)."""
        if execution not in self._functions:
            self._functions[execution] = self._compile(execution)
        return self._functions[execution]

    def _compile(self, execution):
        compiled = functools.partial(tf.function, autograph=False)
        folded, execution = execution.endswith("_folded"), _plain_name(execution)
        if execution.endswith("_xla"):
            compiled = functools.partial(compiled, jit_compile=True)
        if execution.startswith("dense"):
            dense = _classifier(halting=None)
            dense = folded_copy(dense)[0] if folded else dense
            return compiled(lambda: (dense(self.images, training=False),))
        if execution.startswith("keras_applications"):
            name = f"ResNet{flags.FLAGS.depth}V2"
            if not hasattr(keras.applications, name):
                raise UserError(f"keras.applications has no {name}: leave it out of --executions")
            network = getattr(keras.applications, name)(
                weights=None, input_shape=(self.height, self.width, 3), include_top=False
            )
            return compiled(lambda: (network(self.images, training=False)[:, 0, 0],))

        model = self.folded_model if folded else self.model

        def adaptive():
            outputs = model.forward(self.images)
            return outputs["logits"], outputs["flops"]

        sact_tf.set_execution(model, execution)
        function = compiled(adaptive)
        return function.get_concrete_function()

    def measure(self, maps, ratio, label):
        self.set(maps)
        functions = {name: self.function(name) for name in _with_dense(flags.FLAGS.executions)}
        times = timing.interleaved(functions, flags.FLAGS.runs)
        reference = None
        if {_plain_name(name) for name in functions} & set(ADAPTIVE):
            reference = self.function("masked")()[0].numpy()
        peaks = {name: self._peak_elsewhere(name, label) for name in functions}
        print(f"\n{flags.FLAGS.batch} x {self.height}x{self.width}, tile size {self.tile_sizes}")
        print("execution                  FLOPs  time (quartiles)       ms    memory  difference")
        return [
            self._row(name, times, ratio, peaks, reference, functions[name]) for name in functions
        ]

    def _row(self, name, times, ratio, peaks, reference, function):
        row = {
            "execution": name,
            "tile_size": self.tile_sizes,
            "image_size": [self.height, self.width],
            "batch": flags.FLAGS.batch,
            "flops_ratio": 1.0,
            **timing.ratios(times[name], times["dense"]),
            "peak_memory_ratio": peaks[name] and peaks[name] / peaks["dense"],
            "max_abs_difference": None,
            "max_relative_difference": None,
        }
        if _plain_name(name) in ADAPTIVE:
            logits, flops = function()
            plain = self.model.plain_flops(self.height, self.width)
            row["flops_ratio"] = float(np.mean(flops.numpy())) / plain
            if abs(row["flops_ratio"] - ratio) > 1e-6:
                raise AssertionError(f"counted {row['flops_ratio']}, expected {ratio}")
            row["max_abs_difference"] = float(np.abs(logits.numpy() - reference).max())
            largest = float(np.abs(reference).max())
            row["max_relative_difference"] = row["max_abs_difference"] / largest
        memory, difference = row["peak_memory_ratio"], row["max_relative_difference"]
        print(
            f"{name:24s} {row['flops_ratio']:7.3f} {row['time_ratio']:6.3f}"
            f" ({row['time_ratio_min']:.3f} - {row['time_ratio_max']:.3f})"
            f" {row['milliseconds']:8.0f} {f'{memory:8.2f}' if memory else '       -'}"
            f" {f'{difference:11.1e}' if difference is not None else '          -'}",
            flush=True,
        )
        return row

    def _peak_elsewhere(self, execution, label):
        if not flags.FLAGS.memory:
            return None
        command = [sys.executable, "-m", "benchmarks.tiled_execution", f"--peak_of={execution}"]
        command += [f"--depth={flags.FLAGS.depth}", f"--image_size={flags.FLAGS.image_size}"]
        command += [
            f"--batch={flags.FLAGS.batch}",
            f"--tile_size={','.join(flags.FLAGS.tile_size)}",
        ]
        done = subprocess.run(
            [*command, f"--flops_ratio={label}"], capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[-1])

    def set(self, maps):
        for variable, values in zip(self.num_units, maps, strict=True):
            variable.assign(values)


def _peak(execution, target, height, width):
    bench = Bench(height, width)
    if _plain_name(execution) in ADAPTIVE:
        bench.set(bench.maps(target)[0])
    return measure.peak_bytes(bench.function(execution))


def _classifier(**options):
    return ImageClassifier(ResNetBackbone.from_depth(flags.FLAGS.depth, **options), NUM_CLASSES)


def _plain_name(execution):
    return execution.removesuffix("_folded")


def _with_dense(executions):
    return list(dict.fromkeys(["dense", *executions]))


if __name__ == "__main__":
    run(main, define_flags)
