"""Evaluation of one classifier at several image sizes, without training it again."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sact_tf import paths
from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json
from sact_tf.models import ImageClassifier, set_execution
from sact_tf.models.class_names import matching_classes, shown_classes
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig, DataConfig
from sact_tf.training.classification.evaluator import ClassificationEvaluator
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.config.loading import load_config, unlocked_copy
from sact_tf.training.loop.evaluator import nested
from sact_tf.training.loop.inference_time import inference_time, times_of
from sact_tf.training.run_directory.directory import home_of

_HEADER = (
    "size",
    "accuracy",
    "recall@5",
    "MFLOPs",
    "of plain",
    "ms",
    "of plain",
    "box AUC",
    "units",
)
# At least: one at a time, in turns.
_TIMED_IMAGES = 30
# Lines appear as the sizes are done, so the widths are not those of what comes later.
_LINE = "{:>5}  {:>8}  {:>8}  {:>19}  {:>8}  {:>8}  {:>8}  {:>7}  {}"

# By `data.source`: what to do where the numbers of classes differ.
_ADVICE = {
    "cluttered_digits": "",
    "image_folder": "; the folder data.image_folder.train_dir needs one sub-folder for each class "
    "of the model",
    "tfds": "; data.tfds.label_offset and data.tfds.num_classes make them agree",
}


def evaluate_resolutions(
    model: str | os.PathLike,
    image_sizes: Sequence[str | int],
    *,
    config: str | os.PathLike | None = None,
    params_override: Sequence[str] = (),
    output_dir: str | os.PathLike | None = None,
    batch_size: int | None = None,
    execution: str | None = None,
) -> None:
    """Evaluates a saved classifier at several image sizes, prints a table, writes `metrics.json`.

    Args:
        model: see `load_classifier`.
        image_sizes: sides in pixels.
        config: YAML file whose section `data` is used; by default that of the model's run.
        params_override: changes to it, see `load_config`.
        output_dir: by default `evaluation/` in the run directory or beside the model's file.
        batch_size: images at once; by default the config's.
        execution: how the units run, if not as the model was saved.

    Raises:
        UserError: an argument or the data is unusable.
    """
    sizes = _checked_sizes(image_sizes)
    classifier = load_classifier(model)
    if execution:
        try:
            set_execution(classifier, execution)
        except ValueError as error:
            raise UserError(f"--execution: {error}") from None
    home = home_of(model)
    if not config and not (home / "config.yaml").exists():
        raise UserError(f"--config is needed to know the data: {home} is no run directory")
    loaded = load_config(ClassificationConfig, config or home / "config.yaml", params_override)
    output = paths.output_directory("output_dir", output_dir or home / "evaluation")
    print(_LINE.format(*_HEADER))
    results = []
    for size in sizes:
        batch = batch_size or loaded.evaluation.batch_size
        timed = loaded.evaluation.time
        results.append(evaluate_at(classifier, loaded.data, size, batch, timed))
        print(_line(results[-1]), flush=True)
    metrics = {
        "model": os.fspath(model),
        "halting": classifier.halting_kind,
        "data": loaded.data.as_dict(),
        "evaluations": results,
    }
    with paths.writing("output_dir", output):
        atomic_write_json(output / "metrics.json", metrics)
    print(f"metrics: {output / 'metrics.json'}")


@dataclasses.dataclass
class HeldOutImages:
    """Held-out images of one size.

    Attributes:
        dataset: finite batches, see `ImageClassificationData.evaluation`.
        num_examples: how many.
        num_classes: of the labels.
        class_names: of the labels, or None.
        source: `data.source` of the config they are from.
    """

    dataset: tf.data.Dataset
    num_examples: int
    num_classes: int
    class_names: list[str] | None = None
    source: str = "cluttered_digits"


def held_out_images(config: DataConfig, image_size: int, batch_size: int) -> HeldOutImages:
    """The held-out images as the network sees them at `image_size`.

    Images from files go through the preprocessing at that size (the paper's way: crop, then
    resize). Cluttered digits are drawn at their own size and enlarged bilinearly.

    Raises:
        UserError: files are missing or unusable.
    """
    digits = config.cluttered_digits if config.source == "cluttered_digits" else None
    if digits is None:
        config = unlocked_copy(config)
        config.override({"preprocessing": {"image_size": image_size}})
    data = builders.build_data(config)
    dataset = data.evaluation(batch_size)
    if digits is not None and image_size != digits.image_size:
        from_size = digits.image_size
        dataset = dataset.map(lambda batch: _resized(batch, image_size, from_size))
    return HeldOutImages(
        dataset, data.num_examples("validation"), data.num_classes, data.class_names, config.source
    )


def evaluate_at(
    model: ImageClassifier,
    config: DataConfig,
    image_size: int,
    batch_size: int,
    timed: bool = False,
) -> dict[str, Any]:
    """Evaluates a classifier on held-out images of one size.

    Where model and data have names of the classes, labels are matched by name.

    Args:
        model: the classifier.
        config: the data.
        image_size: side in pixels.
        batch_size: images at once.
        timed: whether the time per image is measured, too.

    Returns:
        JSON-able dict: `accuracy`, `recall@5` (more than five classes), `flops_mean` and
        `flops_std` over images, `flops_ratio`, `num_units` and `ponder_cost` by block, `timing`
        (see `inference_time`), ...

    Raises:
        UserError: the data is unusable or has other classes than the model.
    """
    held_out = held_out_images(config, image_size, batch_size)
    dataset = labelled_for(model, held_out)
    kept = max(batch_size, _TIMED_IMAGES) if timed else 1
    evaluator = ClassificationEvaluator(model, dataset, held_out.num_examples, kept)
    flat = evaluator.evaluate(tf.constant(-1))
    times = inference_time(model, evaluator.kept_images(), batch_size) if timed else {}
    return {
        "image_size": image_size,
        "plain_flops": evaluator.plain_flops,
        **nested(flat),
        "unit_usage": evaluator.unit_usage,
        **({"timing": times} if times else {}),
    }


def labelled_for(model: ImageClassifier, held_out: HeldOutImages) -> tf.data.Dataset:
    """The images with the labels that the model gives to classes of these names.

    Args:
        model: the classifier.
        held_out: the images; of some of its classes, in whatever order.

    Returns:
        As `held_out.dataset`.

    Raises:
        UserError: a class has a name that the model does not know, or, where one side has no names,
            the numbers of classes differ.
    """
    names, known = held_out.class_names, model.class_names
    if names is None or known is None:
        if held_out.num_classes != model.num_classes:
            raise UserError(
                f"the model has {model.num_classes} classes and the data {held_out.num_classes}; "
                f"the labels would mean something else{_ADVICE[held_out.source]}"
            )
        return held_out.dataset
    found = matching_classes(names, known)
    missing = [name for number, name in enumerate(names) if number not in found]
    if missing:
        raise UserError(
            f"the data has classes that the model does not know by name: {shown_classes(missing)}; "
            f"the model's: {shown_classes(known)}. A model without names is evaluated by number"
        )
    if list(names) == list(known):
        return held_out.dataset
    labels = tf.constant([found[number] for number in range(len(names))], tf.int32)
    return held_out.dataset.map(lambda batch: {**batch, "label": tf.gather(labels, batch["label"])})


def _checked_sizes(texts: Sequence[str | int]) -> list[int]:
    try:
        sizes = [int(text) for text in texts]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        received = ",".join(map(str, texts))
        raise UserError(
            f"--image_sizes: expected positive ints such as 224,288, received {received!r}"
        )
    return sizes


def _times(result: dict[str, Any]) -> tuple[str, str]:
    """Milliseconds per image, in batches, and their share of the plain network's."""
    for times in times_of(result)[-1:]:
        return f"{times['milliseconds_per_image']:.3g}", f"{times['time_ratio']:.2f}"
    return "-", "-"


def _shown(result: dict[str, Any], key: str) -> str:
    return f"{result[key]:.4f}" if key in result else "-"


def _line(result: dict[str, Any]) -> str:
    return _LINE.format(
        result["image_size"],
        f"{result['accuracy']:.4f}",
        _shown(result, "recall@5"),
        f"{result['flops_mean'] / 1e6:.2f} ± {result['flops_std'] / 1e6:.2f}",
        f"{result['flops_ratio']:.1%}",
        *_times(result),
        _shown(result, "ponder_localization_auc"),
        "  ".join(f"{units:.2f}" for units in result["num_units"].values()),
    )


def _resized(batch: dict[str, tf.Tensor], image_size: int, from_size: int) -> dict[str, tf.Tensor]:
    batch = {**batch, "image": tf.image.resize(batch["image"], [image_size, image_size])}
    if "box" in batch:
        batch["box"] = batch["box"] * (image_size / from_size)
    return batch
