"""From a detection config to the objects it describes."""

import functools
from collections.abc import Callable

import keras

from sact_tf.detection import FasterRCNN
from sact_tf.detection import data as data_sets
from sact_tf.errors import UserError
from sact_tf.models import ResNetBackbone
from sact_tf.training.classification.builders import build_backbone, training_options
from sact_tf.training.config.loading import given
from sact_tf.training.detection.config import (
    DetectionConfig,
    DetectionDataConfig,
    DetectionModelConfig,
)


def build_data(config: DetectionDataConfig) -> data_sets.DetectionData:
    """Builds the data set.

    Raises:
        UserError: files are missing or unusable.
    """
    if config.source == "digit_scenes":
        return data_sets.DigitScenes(**given(config.digit_scenes).as_dict())
    common = {
        "preprocessing": given(config.preprocessing).as_dict(),
        "flip": config.flip,
        "skip_corrupt": config.skip_corrupt,
    }
    if config.source == "tfds":
        return data_sets.TfdsCoco(**given(config.tfds).as_dict(), **common)
    return data_sets.CocoFolder(**given(config.coco).as_dict(), **common)


def build_model(config: DetectionConfig, data: data_sets.DetectionData) -> FasterRCNN:
    """Builds the detector for the classes of `data`, with fresh weights from the seed.

    Raises:
        UserError: the model refuses a combination of arguments.
    """
    keras.utils.set_random_seed(config.train.seed)
    backbone = build_backbone(config.model, config.train.weight_decay, **training_options(config))
    try:
        return FasterRCNN(
            backbone,
            num_classes=data.num_classes,
            class_names=data.class_names,
            preprocessing=data.preprocessing,
            freeze_batch_norm=config.train.freeze_batch_norm,
            **config.model.detector.as_dict(),
        )
    except ValueError as error:
        raise UserError(f"model.detector: {error}") from None


def resnet101_flops(
    config: DetectionModelConfig, model: FasterRCNN
) -> Callable[[int, int], int] | None:
    """What plain ResNet-101 spends up to the same block; None for networks of other widths.

    Args:
        config: of the network.
        model: the detector.

    Returns:
        A function of the height and the width of an image in pixels.
    """
    if config.depth is None:
        return None
    if config.depth == 101:
        return model.plain_flops
    options = {"base_channels": config.base_channels}
    if config.stem_channels is not None:
        options["stem_channels"] = config.stem_channels
    make = ResNetBackbone.keras_v2 if config.network == "keras" else ResNetBackbone.from_depth
    backbone = make(101, **options)
    return functools.partial(backbone.plain_flops, last_block=model.feature_block)
