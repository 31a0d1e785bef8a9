"""From a config to the objects it describes."""

from typing import Any

import keras

from sact_tf.budget import BudgetController, check_budget
from sact_tf.data import ImageClassificationData
from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier, ResNetBackbone
from sact_tf.training.classification.config import ClassificationConfig, DataConfig
from sact_tf.training.config.loading import given, given_keys
from sact_tf.training.config.sections import ModelConfig
from sact_tf.training.config.training_config import TrainingConfig


def build_data(config: DataConfig) -> ImageClassificationData:
    """Builds the data set.

    Raises:
        UserError: files are missing or unusable.
    """
    if config.source == "cluttered_digits":
        from sact_tf.data.cluttered_digits import ClutteredDigits

        return ClutteredDigits(**given(config.cluttered_digits).as_dict())
    common: dict[str, Any] = {
        "preprocessing": given_keys(config.preprocessing),
        "skip_corrupt": config.skip_corrupt,
    }
    if config.source == "tfds":
        from sact_tf.data.tfds_data import TfdsClassification

        return TfdsClassification(**given(config.tfds).as_dict(), **common)
    from sact_tf.data.image_folder import ImageFolder

    return ImageFolder(**given_keys(config.image_folder), **common)


def preprocessing_of(config: DataConfig) -> dict[str, Any]:
    """How the data set's images become a network's input; needs none of its files."""
    if config.source == "cluttered_digits":
        return build_data(config).preprocessing
    return given_keys(config.preprocessing)


def build_backbone(config: ModelConfig, weight_decay: float, **options: Any) -> ResNetBackbone:
    """Builds the backbone with fresh weights.

    Args:
        config: the section `model`.
        weight_decay: times half the sum of squares.
        **options: more arguments of `ResNetBackbone`, such as `training_options` gives.

    Raises:
        UserError: the core refuses a combination of arguments.
    """
    options |= {
        "base_channels": config.base_channels,
        "tile_size": config.tile_size,
        "execution": config.execution,
        "statistics": config.statistics,
        "weight_decay": weight_decay,
        "halting": config.halting,
    }
    for key in (
        "stem_channels",
        "ponder_weight",
        "halting_epsilon",
        "halting_bias",
        "batch_norm_momentum",
        "frozen",
    ):
        if getattr(config, key) is not None:
            options[key] = getattr(config, key)
    try:
        if config.units_per_block is not None:
            return ResNetBackbone.cifar(config.units_per_block, **options)
        if config.network == "keras":
            return ResNetBackbone.keras_v2(config.depth or given(config.units), **options)
        if config.depth is not None:
            return ResNetBackbone.from_depth(config.depth, **options)
        return ResNetBackbone(units=tuple(given(config.units)), **options)
    except ValueError as error:
        raise UserError(f"model: {error}") from error


def training_options(config: TrainingConfig) -> dict[str, Any]:
    """Arguments of `ResNetBackbone` that `train` and `runtime` of any training config decide."""
    runtime = config.runtime
    return {
        "dtype": config.train.precision,
        "synchronized_batch_norm": (
            runtime.synchronized_batch_norm and runtime.strategy != "one_device"
        ),
    }


def build_model(config: ClassificationConfig, data: ImageClassificationData) -> ImageClassifier:
    """Builds the classifier for the classes of `data`, with fresh weights from the seed."""
    keras.utils.set_random_seed(config.train.seed)
    return ImageClassifier(
        build_backbone(config.model, config.train.weight_decay, **training_options(config)),
        num_classes=data.num_classes,
        class_names=data.class_names,
        preprocessing=data.preprocessing,
    )


def image_size(data: ImageClassificationData) -> tuple[int, int]:
    """(height, width) of the images of a data set in pixels."""
    return tuple(data.evaluation(1).element_spec["image"].shape[1:3])


def check_flops_budget(
    model: ImageClassifier, data: ImageClassificationData, flops_ratio: float, name: str
) -> None:
    """Refuses a budget that halting cannot meet.

    Args:
        model: with halting; trained or not.
        data: its images' size counts.
        flops_ratio: the budget.
        name: what the user calls it.

    Raises:
        UserError: names it, and the range that halting can choose from.
    """
    try:
        check_budget(model, flops_ratio, [image_size(data)])
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None


def build_controller(
    config: ClassificationConfig, model: ImageClassifier, data: ImageClassificationData
) -> BudgetController | None:
    """Builds what steers training to `train.flops_budget`; None without one.

    Raises:
        UserError: halting cannot meet the budget; says what it can.
    """
    train = config.train
    if train.flops_budget is None:
        return None
    check_flops_budget(model, data, train.flops_budget, "train.flops_budget")
    return BudgetController(
        train.flops_budget,
        ponder_weight=config.model.ponder_weight or BudgetController.LEAST_START,
        horizon=max(1.0, train.steps / BudgetController.HORIZONS_PER_TRAINING),
    )
