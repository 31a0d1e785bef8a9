"""How long does a trained network take, in each execution, beside the plain one of its weights?

python -m benchmarks.trained_network --model=runs/quickstart --batch=1,8,32,128 --json=out.json

Held-out images, on which the network decides for itself where to halt. Plain is the same network
without halting scores, all units everywhere. `exported` is the SavedModel that `train.export`
writes of the execution that is fastest at that batch. All take their turns on the same images, and
each turn takes other ones; ratios are to plain in the same turn.
"""

import functools
import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf
from absl import flags, logging

from benchmarks import measure, own_images
from sact_tf import timing
from sact_tf.command_line import run
from sact_tf.errors import UserError
from sact_tf.models import set_execution
from sact_tf.models.compiled_network import PLAIN, CompiledNetwork, compile_executions
from sact_tf.models.plain_network import plain_network
from sact_tf.serving.export.saved_model import export
from sact_tf.training.detection.loading import load_detector_or_classifier
from sact_tf.training.images.network_inputs import network_inputs
from sact_tf.training.loop.inference_time import image_batches, time_networks
from sact_tf.training.reports.tables import render

EXPORTED = "exported"
_HEADER = ("execution", "FLOPs", "ms per image", "time (quartiles)", "memory")
_MOST_IMAGES = 512
_PROBE_TURNS = 3


def define_flags():
    flags.DEFINE_string("model", None, "A run directory or a .keras file.", required=True)
    flags.DEFINE_string("images", None, "Images, a pattern or a folder; default: the run's own.")
    flags.DEFINE_list("batch", ["1", "8", "32", "128"], "Images at once; a table for each.")
    flags.DEFINE_integer("runs", 21, "Turns that count.", lower_bound=1)
    flags.DEFINE_bool("export", True, "Measure the exported network, too.")
    flags.DEFINE_bool("memory", True, "Measure peak memory, in a process per execution.")
    flags.DEFINE_string("json", None, "Where to write the results.")
    flags.DEFINE_string("peak_of", None, "Internal: print one execution's peaks and end.")


def main(argv):
    del argv
    sizes = _batch_sizes(flags.FLAGS.batch)
    logging.set_verbosity(logging.WARNING)  # of what exporting has to say
    if flags.FLAGS.peak_of:
        print(json.dumps(_peaks(flags.FLAGS.peak_of, sizes)))
        return
    model = load_detector_or_classifier(flags.FLAGS.model)
    images = _images(model, max(_MOST_IMAGES, *sizes))
    machine = timing.machine()
    print(f"{flags.FLAGS.model}, {machine['processor']}, {machine['threads']} threads")
    rows = []
    with tempfile.TemporaryDirectory() as exports:
        for size in sizes:
            rows += _measure(model, images, size, pathlib.Path(exports))
    about = {"model": flags.FLAGS.model, "images": flags.FLAGS.images or "held out"}
    measure.write_json(flags.FLAGS.json, rows, **about)


def _measure(model, images, size, exports):
    """The rows of one batch size."""
    batches = image_batches(images, size, min(flags.FLAGS.runs, max(1, len(images) // size)))
    networks = compile_executions(model, batches)
    probe = time_networks(networks, batches, _PROBE_TURNS)
    fastest = min(probe.keys() - {PLAIN} or {PLAIN}, key=lambda name: np.median(probe[name]))
    if flags.FLAGS.export:
        networks[EXPORTED] = _exported(model, fastest, exports)
    share = _flops_ratio(networks[fastest].model, batches)
    times = time_networks(networks, batches, flags.FLAGS.runs)
    rows = []
    for name in networks:
        row = {
            "execution": name,
            "batch": size,
            "image_size": list(batches[0].shape[1:3]),
            "images": size * len(batches),
            "flops_ratio": 1.0 if name == PLAIN else share,
            **timing.ratios(times[name], times[PLAIN]),
        }
        if name == EXPORTED:
            row["exported_execution"] = fastest
        rows.append(row)
    for row in rows if flags.FLAGS.memory else []:
        row["peak_memory"] = _peaks_elsewhere(_peak_name(row, exports))[str(size)]
        # TensorFlow counts no small tensors: next to nothing may be nothing.
        plain = rows[0]["peak_memory"]
        row["peak_memory_ratio"] = row["peak_memory"] / plain if plain else None
    height, width = batches[0].shape[1:3]
    print(f"\nbatch {size}, {height}x{width}, {rows[0]['images']} images")
    print(render([_HEADER, *map(_texts, rows)], "text"), flush=True)
    return rows


def _texts(row):
    name, memory = row["execution"], row.get("peak_memory_ratio")
    return [
        f"{name} ({row['exported_execution']})" if name == EXPORTED else name,
        f"{row['flops_ratio']:.3f}",
        f"{row['milliseconds']:.3f}",
        f"{row['time_ratio']:.3f} ({row['time_ratio_min']:.3f} - {row['time_ratio_max']:.3f})",
        "-" if memory is None else f"{memory:.2f}",
    ]


def _flops_ratio(model, batches):
    """Mean share of the plain network's FLOPs; the same in all executions."""
    flops = tf.function(lambda images: model.forward(images, training=False)["flops"])
    spent = np.concatenate([flops(images).numpy() for images in batches])
    return float(spent.mean() / model.plain_flops(*batches[0].shape[1:3]))


def _exported(model, execution, exports):
    folder = exports / execution / "1"
    if not folder.exists():
        export(model, folder, execution=None if execution == PLAIN else execution)
    return _loaded(folder)


def _loaded(folder):
    loaded = tf.saved_model.load(str(folder))

    def answer(images):
        outputs = loaded.signatures["images"](images=images)
        return {name: value.numpy() for name, value in outputs.items()}

    return answer


def _peak_name(row, exports):
    """What `--peak_of` is for a row: an execution, or the folder of an export."""
    if row["execution"] != EXPORTED:
        return row["execution"]
    return str(exports / row["exported_execution"] / "1")


@functools.cache
def _peaks_elsewhere(name):
    command = [sys.executable, "-m", "benchmarks.trained_network", *sys.argv[1:]]
    done = subprocess.run(
        [*command, f"--peak_of={name}"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _peaks(name, sizes):
    """Bytes by batch size."""
    model = load_detector_or_classifier(flags.FLAGS.model)
    images = _images(model, max(sizes))
    batches = {size: image_batches(images, size, 1) for size in sizes}
    if name == PLAIN:
        model = plain_network(model)
    elif os.path.isdir(name):
        model, network = None, _loaded(name)
    else:
        set_execution(model, name)
    gc.collect()  # the adaptive network's weights, where they are not needed
    peaks = {}
    for size, (batch,) in batches.items():
        if model is not None:
            network = CompiledNetwork(model, [batch])
        peaks[size] = measure.peak_bytes(functools.partial(network, batch))
    return peaks


def _images(model, most):
    if flags.FLAGS.images:
        return network_inputs(model, flags.FLAGS.images, most)
    return own_images.held_out(model, flags.FLAGS.model, most)


def _batch_sizes(texts):
    if not texts or not all(text.isdigit() and int(text) > 0 for text in texts):
        raise UserError(f"--batch: expected positive ints such as 1,32, received {texts}")
    return [int(text) for text in texts]


if __name__ == "__main__":
    run(main, define_flags)
