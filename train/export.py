"""Exports a trained model as a SavedModel, for TensorFlow Serving or `sact_tf.serving.rest`.

    python -m train.export --model=runs/quickstart --output_dir=export/digits/1

The last part of --output_dir is the version that is served. Images go in as JPEG, PNG, GIF or BMP
files; the model's own preprocessing is part of the export. A compute budget comes with a model
that was calibrated to it (`sact_tf.budget`).
"""

from typing import Any

import yaml
from absl import flags

from sact_tf import paths
from sact_tf.errors import UserError
from sact_tf.serving.export import export
from sact_tf.training.detection.loading import load_detector_or_classifier
from train import program


def define_flags():
    flags.DEFINE_string(
        "model", None, "a .keras file, a run directory or a checkpoint", required=True
    )
    flags.DEFINE_string(
        "output_dir",
        None,
        "folder to make, its last part a version: export/digits/1",
        required=True,
    )
    flags.DEFINE_enum(
        "execution",
        None,
        ["masked", "tiled", "auto"],
        "how blocks run; by default as in the model",
    )
    flags.DEFINE_integer("top", 5, "classes to list for each image", lower_bound=1)
    flags.DEFINE_string(
        "preprocessing",
        None,
        'in place of the model\'s, as YAML: "{name: unit, image_size: 64}"',
    )
    flags.DEFINE_bool(
        "fold_batch_norm", True, "fold batch normalizations into convolutions where that is exact"
    )


def main(_):
    args = flags.FLAGS
    preprocessing = parse_preprocessing(args.preprocessing)
    model = load_detector_or_classifier(args.model)
    with paths.writing("output_dir", args.output_dir):
        made = export(
            model,
            args.output_dir,
            execution=args.execution,
            preprocessing=preprocessing,
            top=args.top,
            fold_batch_norm=args.fold_batch_norm,
        )
    print(
        f"{made['kind']}, {made['execution']} execution, {made['num_classes']} classes, "
        f"{made['folded_batch_norms']} batch normalizations folded\n"
        f"largest difference to the model in memory: {made['largest_difference']:.1e}\n"
        f"written: {args.output_dir}"
    )


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
