"""Exports a trained model as a SavedModel or as an ONNX file.

    python -m train.export --model=runs/quickstart --output_dir=export/digits/1
    python -m train.export --model=runs/quickstart --output=digits.onnx

A SavedModel is for TensorFlow Serving or `sact_tf.serving.rest`. The last part of --output_dir is
the version that is served. Images go in as JPEG, PNG, GIF or BMP files; the model's own
preprocessing is part of the export. With --tune="photos/*.jpg" it chooses among its ways to compute
by what they cost on this machine, for as many images at once as are given.

An ONNX file (extra `onnx`) takes float images [B, H, W, 3], values 0 ... 255, of any size; scaling
the values is part of it, resizing is not.

A compute budget comes with a model that was calibrated to it (`sact_tf.budget`).
"""

import pathlib
import shlex
from typing import Any

import keras
import numpy as np
import yaml
from absl import flags

from sact_tf import paths
from sact_tf.command_line import next_steps
from sact_tf.errors import UserError
from sact_tf.serving.export import export
from sact_tf.serving.export.onnx_file import checked_output, export_onnx
from sact_tf.training.detection.loading import load_detector_or_classifier
from sact_tf.training.images.network_inputs import network_inputs
from sact_tf.tuning import tune
from train import program

_MOST_IMAGES = 32


def define_flags():
    flags.DEFINE_string(
        "model", None, "a .keras file, a run directory or a checkpoint", required=True
    )
    flags.DEFINE_string(
        "output_dir",
        None,
        "SavedModel: folder to make, its last part a version: export/digits/1",
    )
    flags.DEFINE_string("output", None, "ONNX: file to write, model.onnx; in place of --output_dir")
    flags.mark_flags_as_mutual_exclusive(["output_dir", "output"], required=True)
    flags.DEFINE_enum(
        "execution",
        None,
        ["masked", "tiled", "auto"],
        "how blocks run; by default as in the model",
    )
    flags.DEFINE_string(
        "tune",
        None,
        "images like those to come (a file, a pattern or a folder; the first "
        f"{_MOST_IMAGES}): measures here, in about a minute, what tiled and auto choose by",
    )
    flags.DEFINE_integer("top", 5, "classes to list for each image", lower_bound=1)
    flags.DEFINE_string(
        "preprocessing",
        None,
        'in place of the model\'s, as YAML: "{name: unit, image_size: 64}"',
    )
    flags.DEFINE_bool(
        "ponder_map", False, "ONNX: whether the file also tells what was spent, and where"
    )
    flags.DEFINE_bool(
        "fold_batch_norm", True, "fold batch normalizations into convolutions where that is exact"
    )


def main(_):
    args = flags.FLAGS
    options = {
        "execution": args.execution,
        "preprocessing": parse_preprocessing(args.preprocessing),
        "top": args.top,
        "fold_batch_norm": args.fold_batch_norm,
    }
    if args.output is not None:
        flag, path = "output", args.output
        write, options["ponder_map"] = export_onnx, args.ponder_map
        if args.tune is not None:
            raise UserError("--tune is for --output_dir: an ONNX file has one way to compute")
        checked_output(path)  # before a model is loaded
    else:
        flag, path, write = "output_dir", args.output_dir, export
        if args.ponder_map:
            raise UserError("--ponder_map is for --output: a SavedModel always has that signature")
    model = load_detector_or_classifier(args.model)
    if args.tune is not None:
        tune_for(model, args.tune, args.execution)
    with paths.writing(flag, path):
        made = write(model, path, **options)
    print(
        f"{made['kind']}, {made['execution']} execution, {made['num_classes']} classes, "
        f"{made['folded_batch_norms']} batch normalizations folded\n"
        f"largest difference to the model in memory: {made['largest_difference']:.1e}\n"
        f"written: {path}"
    )
    if args.output is None:
        folder = shlex.quote(str(pathlib.Path(path).parent))
        print(next_steps([f"python -m sact_tf.serving.rest --export_dir={folder} --port=8501"]))


def tune_for(model: keras.Model, pattern: str, execution: str | None) -> None:
    """See --tune; images that differ in size run one at a time, so the first is taken alone."""
    chosen = {execution} if execution else {block.execution for block in model.backbone.blocks}
    if "masked" in chosen:
        raise UserError(
            "--tune: masked execution has no choice, expected --execution=tiled or auto"
        )
    images = network_inputs(model, pattern, _MOST_IMAGES)
    if not images:
        raise UserError(f"--tune={pattern}: none of the images can be read")
    if len({image.shape for image in images}) > 1:
        del images[1:]
    costs = tune(model, np.stack(images))
    print(f"tuned for {len(images)} at once, {images[0].shape[0]}x{images[0].shape[1]}")
    for name, of_block in zip(model.backbone.block_names, costs, strict=True):
        if of_block is not None:
            print(f"  {name}: {of_block}")


def parse_preprocessing(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--preprocessing={text}: no YAML ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"--preprocessing={text}: expected a mapping, received {value!r}")
    return value


if __name__ == "__main__":
    program.run(main, define_flags)
