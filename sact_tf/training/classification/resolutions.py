"""Evaluation of one classifier at several image sizes, without training it again."""

import dataclasses
from typing import Any

import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import DataConfig
from sact_tf.training.classification.evaluator import ClassificationEvaluator
from sact_tf.training.config.loading import unlocked_copy


@dataclasses.dataclass
class HeldOutImages:
    """Held-out images of one size.

    Attributes:
        dataset: finite batches, see `ImageClassificationData.evaluation`.
        num_examples: how many.
        num_classes: of the labels.
    """

    dataset: tf.data.Dataset
    num_examples: int
    num_classes: int


def held_out_images(config: DataConfig, image_size: int, batch_size: int) -> HeldOutImages:
    """The held-out images as the network sees them at `image_size`.

    Images from files go through the preprocessing at that size (the paper's way: crop, then
    resize). Cluttered digits are drawn at their own size and enlarged bilinearly.

    Raises:
        UserError: files are missing or unusable.
    """
    if config.source == "cluttered_digits":
        data = builders.build_data(config)
        dataset = data.evaluation(batch_size)
        if image_size != config.cluttered_digits.image_size:
            dataset = dataset.map(
                lambda batch: _resized(batch, image_size, config.cluttered_digits.image_size)
            )
    else:
        config = unlocked_copy(config)
        config.preprocessing.image_size = image_size
        data = builders.build_data(config)
        dataset = data.evaluation(batch_size)
    return HeldOutImages(dataset, data.num_examples("validation"), data.num_classes)


def evaluate_at(model, config: DataConfig, image_size: int, batch_size: int) -> dict[str, Any]:
    """Evaluates a classifier on held-out images of one size.

    Args:
        model: an `ImageClassifier`.
        config: the data.
        image_size: side in pixels.
        batch_size: images at once.

    Returns:
        JSON-able dict: `accuracy`, `recall@5` (more than five classes), `flops_mean` and
        `flops_std` over images, `flops_ratio`, `num_units` and `ponder_cost` by block, ...

    Raises:
        UserError: the data is unusable or has other classes than the model.
    """
    held_out = held_out_images(config, image_size, batch_size)
    if held_out.num_classes != model.num_classes:
        raise UserError(
            f"the model has {model.num_classes} classes and the data {held_out.num_classes}; the "
            "labels would mean something else (data.tfds.label_offset and num_classes make them "
            "agree)"
        )
    evaluator = ClassificationEvaluator(model, held_out.dataset, held_out.num_examples, 1)
    flat = evaluator.evaluate(tf.constant(-1))
    result: dict[str, Any] = {"image_size": image_size, "plain_flops": evaluator.plain_flops}
    for name, value in flat.items():
        group, slash, key = name.partition("/")
        if slash:
            result.setdefault(group, {})[key] = value
        else:
            result[group] = value
    result["unit_usage"] = evaluator.unit_usage
    return result


def _resized(batch, image_size: int, from_size: int):
    batch = {**batch, "image": tf.image.resize(batch["image"], [image_size, image_size])}
    if "box" in batch:
        batch["box"] = batch["box"] * (image_size / from_size)
    return batch
