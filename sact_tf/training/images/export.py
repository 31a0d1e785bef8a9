"""Exports a trained model as a SavedModel or as an ONNX file."""

import pathlib
import shlex
from typing import Any

import keras
import numpy as np
import yaml

from sact_tf import paths
from sact_tf.command_line import next_steps
from sact_tf.errors import UserError
from sact_tf.serving.export import export
from sact_tf.serving.export.onnx_file import checked_output, export_onnx
from sact_tf.training.detection.loading import load_detector_or_classifier
from sact_tf.training.images.network_inputs import network_inputs
from sact_tf.training.loop.inference_time import fastest_execution
from sact_tf.training.run_directory.directory import home_of, read_metrics
from sact_tf.tuning import tune

MOST_IMAGES = 32


def export_model(
    model: str,
    output_dir: str | None,
    output: str | None,
    *,
    images: str | None = None,
    execution: str | None = None,
    ponder_map: bool = False,
    preprocessing: str | None = None,
    **options: Any,
) -> None:
    """Writes the export and prints what it is.

    Args:
        model: a `.keras` file, a run directory or a checkpoint.
        output_dir: folder of a SavedModel; None for an ONNX file.
        output: the ONNX file; None for a SavedModel.
        images: images like those to come (a file, a pattern or a folder), by which the ways to
            compute are measured on this machine before the export; None leaves the model's costs.
        execution: "masked", "tiled", "auto" or "static". None keeps what the model was set to; of
            one that is "masked" it takes "auto" with `images`, else what took the least time for
            one image when its run ended.
        ponder_map: whether an ONNX file also tells what was spent, and where.
        preprocessing: in place of the model's, as YAML.
        **options: `top` and `fold_batch_norm` of `export` and `export_onnx`.

    Raises:
        UserError: what was asked for does not fit together, or cannot be read or written.
    """
    own_preprocessing = parse_preprocessing(preprocessing)
    if output is not None:
        if images is not None:
            raise UserError("--tune is for --output_dir: an ONNX file has one way to compute")
        checked_output(output)  # before a model is loaded
    elif ponder_map:
        raise UserError("--ponder_map is for --output: a SavedModel always has that signature")
    network = load_detector_or_classifier(model)
    if execution is None and {block.execution for block in network.backbone.blocks} == {"masked"}:
        execution = "auto" if images is not None else _fastest(model)
    options |= {"execution": execution, "preprocessing": own_preprocessing}
    if images is not None:
        _tune(network, images, execution, own_preprocessing)
    if output is not None:
        with paths.writing("output", output):
            made = export_onnx(network, output, ponder_map=ponder_map, **options)
    elif output_dir is not None:
        with paths.writing("output_dir", output_dir):
            made = export(network, output_dir, **options)
    else:
        raise UserError("expected --output_dir or --output, received neither")
    print(
        f"{made['kind']}, {made['execution']} execution, {made['num_classes']} classes, "
        f"{made['folded_batch_norms']} batch normalizations folded\n"
        f"largest difference to the model in memory: {made['largest_difference']:.1e}\n"
        f"written: {output or output_dir}"
    )
    if output_dir is not None:
        folder = shlex.quote(str(pathlib.Path(output_dir).parent))
        print(next_steps([f"python -m sact_tf.serving.rest --export_dir={folder} --port=8501"]))


def _fastest(model: str) -> str | None:
    return fastest_execution(read_metrics(home_of(model) / "metrics.json"))


def _tune(model: keras.Model, pattern: str, execution: str | None, preprocessing: Any) -> None:
    """Images that differ in size run one at a time, so the first is taken alone."""
    chosen = {execution} if execution else {block.execution for block in model.backbone.blocks}
    if chosen & {"masked", "static"}:
        raise UserError(
            "--tune: masked and static execution have no choice, expected --execution=tiled or auto"
        )
    images = network_inputs(model, pattern, MOST_IMAGES, "tune", preprocessing)
    if not images:
        raise UserError(f"--tune={pattern}: none of the images can be read")
    if len({image.shape for image in images}) > 1:
        del images[1:]
    costs = tune(model, np.stack(images))
    size = f"{images[0].shape[0]}x{images[0].shape[1]}"
    print(f"tuned for {len(images)} at once, {size}; a unit's time over that of a dense one:")
    for name, of_block in zip(model.backbone.block_names, costs, strict=True):
        if of_block is not None:
            print(f"  {name}: {_in_words(of_block)}")


def _in_words(costs: dict[str, Any]) -> str:
    lines = {form: costs[form] for form in ("rows", "windows") if costs[form]}
    texts = [f"{form} {fixed:.2f} + {each:.2f} x share" for form, (fixed, each) in lines.items()]
    return ", ".join(texts)


def parse_preprocessing(text: str | None) -> dict[str, Any] | None:
    """Reads the flag --preprocessing.

    Raises:
        UserError: it is no YAML, or no mapping.
    """
    if text is None:
        return None
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--preprocessing={text}: no YAML ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"--preprocessing={text}: expected a mapping, received {value!r}")
    return value
