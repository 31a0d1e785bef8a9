"""Evaluates a trained classifier at several image sizes.

    python -m train.evaluate --model=runs/quickstart --image_sizes=48,64,96

The data is that of the run, or what `--config` says. Prints one line per size and writes
`metrics.json` into `--output_dir`.
"""

import pathlib

from absl import flags

import sact_tf
from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.resolutions import evaluate_at
from sact_tf.training.config.loading import load_config
from train import program

_MODEL = flags.DEFINE_string(
    "model", None, "a run directory, a .keras file or a checkpoint", required=True
)
_IMAGE_SIZES = flags.DEFINE_list(
    "image_sizes", None, "sides of the square images in pixels: 224,288,352", required=True
)
_CONFIG = flags.DEFINE_string(
    "config", None, "YAML file whose section `data` is used; default: config.yaml of the run"
)
_PARAMS_OVERRIDE = flags.DEFINE_multi_string(
    "params_override", [], "changes to the config, such as data.tfds.data_dir=/data"
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "default: evaluation/ in the run directory or beside the model's file"
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "images at once; default: the config's", lower_bound=1
)
_EXECUTION = flags.DEFINE_string(
    "execution", None, "how the units run, if not as the model was saved (masked, tiled, ...)"
)


def main(_):
    sizes = _parse_sizes(_IMAGE_SIZES.value)
    model = load_classifier(_MODEL.value)
    if _EXECUTION.value:
        try:
            sact_tf.set_execution(model, _EXECUTION.value)
        except ValueError as error:
            raise UserError(f"--execution: {error}") from None
    home = _home(_MODEL.value)
    config = _load_config(home)
    batch_size = _BATCH_SIZE.value or config.evaluation.batch_size
    output_dir = pathlib.Path(_OUTPUT_DIR.value or home / "evaluation").expanduser()
    results = []
    names = model.backbone.block_names
    print(f"{'size':>5}  {'accuracy':>8}  {'recall@5':>8}  {'MFLOPs':>19}  {'of plain':>8}  units")
    for size in sizes:
        result = evaluate_at(model, config.data, size, batch_size)
        results.append(result)
        units = "  ".join(f"{result['num_units'][name]:.2f}" for name in names)
        recall = f"{result['recall@5']:8.4f}" if "recall@5" in result else f"{'-':>8}"
        flops = f"{result['flops_mean'] / 1e6:.2f} ± {result['flops_std'] / 1e6:.2f}"
        print(
            f"{size:>5}  {result['accuracy']:8.4f}  {recall}  {flops:>19}  "
            f"{result['flops_ratio']:8.1%}  {units}",
            flush=True,
        )
    metrics = {
        "model": str(_MODEL.value),
        "halting": model.backbone.get_config()["halting"],
        "data": config.data.as_dict(),
        "evaluations": results,
    }
    try:
        atomic_write_json(output_dir / "metrics.json", metrics)
    except OSError as error:
        raise UserError(f"--output_dir={output_dir}: cannot be written: {error.strerror}") from None
    print(f"metrics: {output_dir / 'metrics.json'}")


def _parse_sizes(texts: list[str]) -> list[int]:
    try:
        sizes = [int(text) for text in texts]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise UserError(
            f"--image_sizes: expected positive ints such as 224,288, received {','.join(texts)!r}"
        )
    return sizes


def _home(model: str) -> pathlib.Path:
    """The run directory that the model belongs to, or the directory of its file."""
    path = pathlib.Path(model).expanduser()
    for directory in (path, path.parent, path.parent.parent):
        if (directory / "config.yaml").is_file():
            return directory
    return path if path.is_dir() else path.parent


def _load_config(home: pathlib.Path) -> ClassificationConfig:
    path = _CONFIG.value or home / "config.yaml"
    if not _CONFIG.value and not path.exists():
        raise UserError(f"--config is needed to know the data: {home} is no run directory")
    return load_config(ClassificationConfig, path, _PARAMS_OVERRIDE.value)


if __name__ == "__main__":
    program.run(main)
