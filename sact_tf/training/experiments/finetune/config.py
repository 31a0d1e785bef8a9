"""The two runs of a fine-tuning: the head alone, then everything with halting, to a budget."""

import dataclasses
import pathlib
from typing import Any, cast

from sact_tf.data.image_folder import ImageFolder
from sact_tf.errors import UserError
from sact_tf.models.depths import depth_of_units
from sact_tf.models.keras_application.form import form_of
from sact_tf.models.keras_application.sources import DEPTHS, IMAGENET, read_source
from sact_tf.training.classification.config import ClassificationConfig, ImageFolderConfig
from sact_tf.training.config.checks import num_blocks
from sact_tf.training.config.loading import (
    given,
    given_keys,
    load_config,
    override_config,
    unlocked_copy,
)
from sact_tf.training.config.sections import LearningRateConfig

_DEFAULT_NETWORK = "ResNet50V2"
# Epochs of each stage, and between how many steps that may be.
_HEAD_EPOCHS, _HEAD_STEPS = 5, (100, 1_000)
_EPOCHS, _STEPS = 20, (600, 5_000)
_HEAD_LEARNING_RATE = 0.02


@dataclasses.dataclass(frozen=True)
class FinetuneOptions:
    """What a fine-tuning is asked for; None takes what is sensible.

    Attributes:
        config: YAML file of the run with halting, whose data, network and budget are replaced.
        images: folder with one sub-folder per class.
        flops_budget: share of the plain network's FLOPs.
        network: a name of `DEPTHS`; ResNet50V2 if None, or what `weights` are of.
        weights: file of weights; None lets Keras download those of ImageNet.
        validation_images: folder of held-out images; None holds some out of `images`.
        validation_fraction: how many; 0.1 if None.
        image_size: side of the network's square input in pixels.
        batch_size: images of a step.
        steps, head_steps: of the run with halting and of the one of the head; by the number of
            images if None.
        learning_rate, head_learning_rate: the highest of each.
        seed: of weights, order and augmentation.
        params_override: changes to the config of the run with halting, see `load_config`. The
            head's run has them, too, but for what it sets itself.
    """

    config: str
    images: str
    flops_budget: float
    network: str | None = None
    weights: str | None = None
    validation_images: str | None = None
    validation_fraction: float | None = None
    image_size: int | None = None
    batch_size: int | None = None
    steps: int | None = None
    head_steps: int | None = None
    learning_rate: float | None = None
    head_learning_rate: float | None = None
    seed: int | None = None
    params_override: tuple[str, ...] = ()


def finetune_configs(
    options: FinetuneOptions, head_dir: pathlib.Path
) -> tuple[ClassificationConfig, ClassificationConfig]:
    """The resolved configs of the head's run and of the run with halting.

    Args:
        options: see there.
        head_dir: directory of the head's run, which the other starts from.

    Raises:
        UserError: an option is wrong, or the images or the weights cannot be read.
    """
    config = unlocked_copy(load_config(ClassificationConfig, options.config))
    if config.model.halting is None:
        raise UserError(f"--config={options.config}: expected model.halting, received null")
    _put_images(config, options)
    source = _put_network(config, options)
    train = config.train
    for key in ("batch_size", "seed"):
        if getattr(options, key) is not None:
            setattr(train, key, getattr(options, key))
    train.flops_budget, train.warm_start = options.flops_budget, str(head_dir)
    images = listed_images(config).num_examples("train")
    train.batch_size = min(train.batch_size, max(1, images))
    train.steps = options.steps or _steps(images, train.batch_size, _EPOCHS, _STEPS)
    _put_learning_rate(config, options.learning_rate or train.learning_rate.initial)
    config = override_config(config, options.params_override)
    head = unlocked_copy(config)
    head.train.steps = options.head_steps or _steps(
        images, train.batch_size, _HEAD_EPOCHS, _HEAD_STEPS
    )
    _put_learning_rate(head, options.head_learning_rate or _HEAD_LEARNING_RATE)
    _make_head_run(head, source)
    return override_config(head, ()), config


def listed_images(config: ClassificationConfig) -> ImageFolder:
    """The images of a config, none of which has been opened."""
    return ImageFolder(
        **given_keys(config.data.image_folder),
        preprocessing=given_keys(config.data.preprocessing),
        check_files=False,
    )


def _put_images(config: ClassificationConfig, options: FinetuneOptions) -> None:
    data = config.data
    data.source, data.tfds, data.cluttered_digits = "image_folder", None, None
    data.image_folder = ImageFolderConfig()
    data.image_folder.train_dir = options.images
    data.image_folder.validation_dir = options.validation_images
    data.image_folder.validation_fraction = options.validation_fraction
    if options.image_size is not None:
        given(data.preprocessing).image_size = options.image_size


def _put_network(config: ClassificationConfig, options: FinetuneOptions) -> str:
    """Puts the form of the pretrained network into a config; returns its `train.warm_start`."""
    if options.network is not None and options.network not in DEPTHS:
        raise UserError(f"--network={options.network}: expected one of {', '.join(DEPTHS)}")
    model = config.model
    model.network, model.units_per_block = "keras", None
    if options.weights is None:
        network = options.network or _DEFAULT_NETWORK
        model.depth = cast(Any, DEPTHS[network])
        model.units, model.base_channels = None, None
        return f"keras:{network}"
    weights = str(pathlib.Path(options.weights).expanduser().absolute())
    try:
        if options.network is None:
            form = form_of(read_source(weights, IMAGENET))
        else:
            form = form_of(read_source(options.network, weights))
    except UserError as error:
        raise UserError(f"--weights={options.weights}: {error}") from None
    model.depth = cast(Any, depth_of_units(form.units))
    model.units = None if model.depth else list(form.units)
    model.base_channels, model.stem_channels = form.base_channels, form.stem_channels
    return f"keras:{weights}" if options.network is None else f"keras:{options.network}:{weights}"


def _make_head_run(head: ClassificationConfig, source: str) -> None:
    """Turns the run with halting into one of the plain network's head."""
    model = head.model
    model.halting = model.ponder_weight = model.halting_epsilon = model.halting_bias = None
    model.tile_size, model.statistics, model.execution = 1, None, "masked"
    model.frozen = ["stem", *(f"block{number + 1}" for number in range(num_blocks(model)))]
    head.train.flops_budget, head.train.warm_start = None, source
    head.evaluation.every, head.evaluation.time = None, False


def _put_learning_rate(config: ClassificationConfig, highest: float | None) -> None:
    config.train.learning_rate = LearningRateConfig()
    rate = config.train.learning_rate  # which is a copy
    rate.schedule, rate.initial = "cosine", highest
    rate.warmup_steps = min(100, config.train.steps // 10)


def _steps(images: int, batch_size: int, epochs: int, limits: tuple[int, int]) -> int:
    fewest, most = limits
    return min(most, max(fewest, -(-images * epochs // batch_size)))
