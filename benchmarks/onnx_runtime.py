"""Is the saving kept in ONNX Runtime? Files of a plain network and of adaptive ones, in turns.

python -m benchmarks.onnx_runtime --depth=101 --image_size=600x1000 --flops_ratio=0.25,0.56
python -m benchmarks.onnx_runtime --model=runs/quickstart --batch=1,32

Either a ResNet with scripted halting, a row for each share of FLOPs, or a trained network on
held-out images of its run. Files are written as `train.export --output` writes them, batch
normalizations folded; ratios are to the plain network's in the same turn. The scaling of pixels is
in none of them.
"""

import itertools
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks import halting_maps, measure, own_images
from benchmarks.options import check_executions, define_depth, image_size
from sact_tf import timing
from sact_tf.command_line import run
from sact_tf.models import ImageClassifier, ResNetBackbone, set_execution
from sact_tf.models.plain_network import plain_network
from sact_tf.serving.export.folding import folded_copy
from sact_tf.serving.export.onnx_file import to_onnx
from sact_tf.training.detection.loading import load_detector_or_classifier

PLAIN = "plain"


def define_flags():
    flags.DEFINE_string("model", None, "A run; default: a ResNet with scripted halting.")
    define_depth(101)
    flags.DEFINE_string("image_size", "600x1000", "Of the ResNet: HEIGHTxWIDTH.")
    flags.DEFINE_list("flops_ratio", ["0.25", "0.56"], "Of the ResNet.")
    flags.DEFINE_list("executions", ["tiled"], "masked, tiled.")
    flags.DEFINE_list("batch", ["1"], "Images at once.")
    flags.DEFINE_integer("threads", None, "Of ONNX Runtime; default: all cores.", lower_bound=1)
    flags.DEFINE_integer("runs", 11, "Turns that count.", lower_bound=1)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    args = flags.FLAGS
    check_executions(args.executions, ("masked", "tiled"))
    machine = timing.machine()
    threads = args.threads or machine["threads"]
    print(f"{machine['processor']}, {threads} threads")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        measured = _scripted if args.model is None else _trained
        for size in args.batch:
            rows += measured(int(size), pathlib.Path(folder), threads)
    measure.write_json(args.json, rows, threads=threads, model=args.model)


def _scripted(batch, folder, threads):
    height, width = image_size(flags.FLAGS.image_size)
    rng = np.random.default_rng(0)
    images = rng.normal(size=[batch, height, width, 3]).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = _resnet("sact")
    halting_maps.fresh_scores(model)
    sizes = halting_maps.map_sizes(model.backbone.strides.values(), height, width)
    units = [tf.Variable(tf.zeros([batch, *size], tf.int32), trainable=False) for size in sizes]
    copy = folded_copy(model)[0]
    halting_maps.script_halting(copy, units)
    files = {(PLAIN, 1.0): _write(folded_copy(_resnet(None))[0], folder)}
    for text in flags.FLAGS.flops_ratio:
        maps, ratio = halting_maps.maps_for_ratio(
            model, height, width, float(text), [1] * len(units), batch
        )
        for variable, values in zip(units, maps, strict=True):
            variable.assign(values)
        for execution in flags.FLAGS.executions:
            file = _write(set_execution(copy, execution), folder)
            _compare(copy, file, images)
            files[execution, ratio] = file
    return _measure(files, [images], threads)


def _trained(batch, folder, threads):
    model = load_detector_or_classifier(flags.FLAGS.model)
    images = np.stack(own_images.held_out(model, flags.FLAGS.model, max(256, batch)))
    batches = [images[at : at + batch] for at in range(0, len(images) - batch + 1, batch)]
    batches = batches[: flags.FLAGS.runs]
    copy = folded_copy(model)[0]
    spent = [copy.forward(each, training=False)["flops"].numpy() for each in batches]
    ratio = float(np.mean(spent)) / copy.plain_flops(*images.shape[1:3])
    files = {(PLAIN, 1.0): _write(folded_copy(plain_network(model))[0], folder)}
    for execution in flags.FLAGS.executions:
        file = _write(set_execution(copy, execution), folder)
        _compare(copy, file, batches[0])
        files[execution, ratio] = file
    return _measure(files, batches, threads)


def _resnet(halting):
    backbone = ResNetBackbone.from_depth(flags.FLAGS.depth, halting=halting)
    return ImageClassifier(backbone, 1001)


def _write(network, folder):
    """The path of a file with the network's answers."""

    def answer(images):
        outputs = network.forward(images, training=False)
        return {name: outputs[name] for name in network.answers}

    path = folder / f"{len(list(folder.iterdir()))}.onnx"
    path.write_bytes(to_onnx(network, answer).SerializeToString())
    return path


def _session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _compare(network, path, images):
    """Raises where a file does not compute what the network does."""
    expected = network.forward(images, training=False)[network.answers[0]].numpy()
    [found] = _session(path, 0).run([network.answers[0]], {"images": images})
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    if not difference < 1e-4:
        raise AssertionError(f"{path}: differs by {difference:.1e} of the largest value")


def _measure(files, batches, threads):
    sessions = {key: _session(path, threads) for key, path in files.items()}

    def on_next_batch(session):
        following = itertools.cycle(batches)
        return lambda: session.run(None, {"images": next(following)})

    functions = {key: on_next_batch(session) for key, session in sessions.items()}
    times = timing.interleaved(functions, flags.FLAGS.runs)
    batch, height, width, _ = batches[0].shape
    print(
        f"\nbatch {batch}, {height}x{width}\nexecution  FLOPs  time (quartiles)       ms per image"
    )
    rows = []
    for (execution, ratio), values in times.items():
        found = timing.ratios([each / batch for each in values],
                              [each / batch for each in times[PLAIN, 1.0]])  # fmt: skip
        rows.append({"execution": execution, "batch": batch, "flops_ratio": ratio, **found})
        print(
            f"{execution:9s} {ratio:6.3f} {found['time_ratio']:6.3f} ({found['time_ratio_min']:.3f}"
            f" - {found['time_ratio_max']:.3f}) {found['milliseconds']:10.3f}",
            flush=True,
        )
    return rows


if __name__ == "__main__":
    run(main, define_flags)
