"""Exports a trained model as a SavedModel, for TensorFlow Serving or `sact_tf.serving.rest`.

    python -m train.export --model=runs/quickstart --output_dir=export/digits/1

The last part of --output_dir is the version that is served. Images go in as JPEG, PNG, GIF or BMP
files; the model's own preprocessing is part of the export. A compute budget comes with a model
that was calibrated to it (`sact_tf.budget`).
"""

from absl import flags

from sact_tf.errors import UserError
from sact_tf.training.detection.loading import load_detector_or_classifier
from train import program

_MODEL = flags.DEFINE_string(
    "model", None, "a .keras file, a run directory or a checkpoint", required=True
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "folder to make, its last part a version: export/digits/1", required=True
)
_EXECUTION = flags.DEFINE_enum(
    "execution", None, ["masked", "tiled", "auto"], "how blocks run; by default as in the model"
)
_TOP = flags.DEFINE_integer("top", 5, "classes to list for each image", lower_bound=1)
_PREPROCESSING = flags.DEFINE_string(
    "preprocessing",
    None,
    'in place of the model\'s, as YAML: "{name: unit, image_size: 64}"',
)
_FOLD = flags.DEFINE_bool(
    "fold_batch_norm", True, "fold batch normalizations into convolutions where that is exact"
)


def main(_):
    from sact_tf.serving.export import export

    preprocessing = _parsed_preprocessing(_PREPROCESSING.value)
    model = load_detector_or_classifier(_MODEL.value)
    try:
        made = export(
            model,
            _OUTPUT_DIR.value,
            execution=_EXECUTION.value,
            preprocessing=preprocessing,
            top=_TOP.value,
            fold_batch_norm=_FOLD.value,
        )
    except OSError as error:
        raise UserError(f"--output_dir={_OUTPUT_DIR.value}: cannot be written: {error}") from None
    print(
        f"{made['kind']}, {made['execution']} execution, {made['num_classes']} classes, "
        f"{made['folded_batch_norms']} batch normalizations folded\n"
        f"largest difference to the model in memory: {made['largest_difference']:.1e}\n"
        f"written: {_OUTPUT_DIR.value}"
    )


def _parsed_preprocessing(text):
    if text is None:
        return None
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--preprocessing={text}: no YAML ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"--preprocessing={text}: expected a mapping, received {value!r}")
    return value


if __name__ == "__main__":
    program.run(main)
