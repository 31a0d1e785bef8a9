"""What the keys of a classification config demand of one another."""

from sact_tf.training.classification import config as configs
from sact_tf.training.config.loading import ConfigError
from sact_tf.training.config.runtime_checks import check_runtime

_BLOCKS = {"imagenet": 4, "cifar": 3}
_BASE_CHANNELS = {"imagenet": 64, "cifar": 16}
_HALTING_DEFAULTS = {"ponder_weight": 0.005, "halting_epsilon": 0.01, "halting_bias": -3.0}


def resolve(config: configs.ClassificationConfig) -> None:
    """Fills in the values that depend on other keys, in place.

    Raises:
        ConfigError: a combination is impossible; names the key, what is allowed and what came.
    """
    resolve_network(config.model)
    resolve_halting(config.model)
    _resolve_data(config.data)
    check_learning_rate(config.train)
    check_runtime(config)
    if config.train.flops_budget is not None and config.model.halting is None:
        raise ConfigError(
            "train.flops_budget",
            "a network without halting always spends the same; expected null with halting: null, "
            f"received {config.train.flops_budget}",
        )


def num_blocks(model: configs.ModelConfig) -> int:
    """Number of blocks of the network."""
    return len(model.units) if model.units else _BLOCKS[model.network]


def resolve_network(model: configs.ModelConfig, any_blocks: bool = False) -> None:
    """Checks and completes what describes the units.

    Args:
        model: changed in place.
        any_blocks: whether `units` may have another number of blocks than classifiers have.

    Raises:
        ConfigError: as `resolve`.
    """
    if model.network == "imagenet":
        forbid(model, "model", ["units_per_block"], "with network: imagenet (give depth or units)")
        if (model.depth is None) == (model.units is None):
            raise ConfigError(
                "model.depth",
                "network: imagenet takes exactly one of depth and units, "
                f"received depth={model.depth} and units={model.units}",
            )
        wrong_number = model.units is not None and len(model.units) != _BLOCKS["imagenet"]
        if wrong_number and not any_blocks:
            raise ConfigError(
                "model.units",
                f"expected one number of units per block ({_BLOCKS['imagenet']}), "
                f"received {model.units}",
            )
    else:
        forbid(model, "model", ["depth", "units"], "with network: cifar (give units_per_block)")
        if model.units_per_block is None:
            raise ConfigError("model.units_per_block", "network: cifar needs it, received null")
        units = model.units_per_block
        if isinstance(units, list) and len(units) != _BLOCKS["cifar"]:
            raise ConfigError(
                "model.units_per_block",
                f"expected an int or one per block ({_BLOCKS['cifar']}), received {units}",
            )
    if model.base_channels is None:
        model.base_channels = _BASE_CHANNELS[model.network]


def resolve_halting(model: configs.ModelConfig) -> None:
    """Checks and completes what describes the halting, likewise."""
    if isinstance(model.tile_size, list) and len(model.tile_size) != num_blocks(model):
        raise ConfigError(
            "model.tile_size",
            f"expected an int or one per block ({num_blocks(model)}), received {model.tile_size}",
        )
    if model.halting != "sact" and model.tile_size not in (1, [1] * num_blocks(model)):
        kind = "null" if model.halting is None else model.halting
        raise ConfigError(
            "model.tile_size",
            f"only halting: sact has tiles; expected 1 with halting: {kind}, "
            f"received {model.tile_size}",
        )
    computes_all = model.halting is None or model.execution == "masked"
    if model.statistics is None:
        model.statistics = "full" if computes_all else "evaluated"
    if model.halting is None and model.statistics != "full":
        raise ConfigError(
            "model.statistics",
            "without halting every position is evaluated; expected full with halting: null, "
            f"received {model.statistics}",
        )
    if not computes_all and model.statistics != "evaluated":
        raise ConfigError(
            "model.statistics",
            f"execution: {model.execution} computes the active positions only; expected evaluated, "
            f"received {model.statistics}",
        )
    if model.halting is None:
        forbid(model, "model", list(_HALTING_DEFAULTS), "with halting: null")
        return
    for key, value in _HALTING_DEFAULTS.items():
        if getattr(model, key) is None:
            setattr(model, key, value)


def _resolve_data(data: configs.DataConfig) -> None:
    others = {"cluttered_digits", "tfds", "image_folder"} - {data.source}
    forbid(data, "data", sorted(others), f"with source: {data.source}")
    if data.source == "cluttered_digits":
        forbid(data, "data", ["preprocessing"], "with source: cluttered_digits (it has its own)")
        if data.skip_corrupt:
            raise ConfigError(
                "data.skip_corrupt", "source: cluttered_digits has no files; expected false"
            )
        if data.cluttered_digits is None:
            data.cluttered_digits = configs.ClutteredDigitsConfig()
        _check_canvas(data.cluttered_digits)
        return
    if data.preprocessing is None:
        data.preprocessing = configs.PreprocessingConfig()
    size = data.preprocessing.image_size
    if isinstance(size, list) and len(size) != 2:
        raise ConfigError(
            "data.preprocessing.image_size", f"expected an int or [height, width], received {size}"
        )
    if data.source == "tfds":
        if data.tfds is None or not data.tfds.name:
            raise ConfigError("data.tfds.name", "source: tfds needs the name of a data set")
        return
    folder = data.image_folder
    if folder is None or not folder.train_dir:
        raise ConfigError("data.image_folder.train_dir", "source: image_folder needs a folder")
    if folder.validation_dir is not None and folder.validation_fraction is not None:
        raise ConfigError(
            "data.image_folder.validation_fraction",
            "expected null beside validation_dir "
            f"({folder.validation_dir}), received {folder.validation_fraction}",
        )


def _check_canvas(digits: configs.ClutteredDigitsConfig) -> None:
    for key in ("digit_size", "distractor_size"):
        allowed = digits.image_size if key == "digit_size" else digits.digit_size
        owner = "image_size" if key == "digit_size" else "digit_size"
        if getattr(digits, key) > allowed:
            raise ConfigError(
                f"data.cluttered_digits.{key}",
                f"expected at most {owner} ({allowed}), received {getattr(digits, key)}",
            )


def check_learning_rate(train: configs.TrainConfig) -> None:
    """Checks the schedule.

    Raises:
        ConfigError: as `resolve`.
    """
    rate = train.learning_rate
    section = "train.learning_rate"
    if rate.warmup_steps >= train.steps:
        raise ConfigError(
            f"{section}.warmup_steps",
            f"expected less than train.steps ({train.steps}), received {rate.warmup_steps}",
        )
    if rate.schedule != "piecewise_constant":
        forbid(rate, section, ["boundaries", "values"], f"with schedule: {rate.schedule}")
        if rate.initial is None:
            raise ConfigError(f"{section}.initial", f"schedule: {rate.schedule} needs it")
        return
    forbid(rate, section, ["initial"], "with schedule: piecewise_constant (give values)")
    if rate.boundaries is None or rate.values is None:
        missing = "boundaries" if rate.boundaries is None else "values"
        raise ConfigError(f"{section}.{missing}", "schedule: piecewise_constant needs it")
    if len(rate.values) != len(rate.boundaries) + 1:
        raise ConfigError(
            f"{section}.values",
            f"expected one more than boundaries ({len(rate.boundaries) + 1}), "
            f"received {rate.values}",
        )
    if any(
        after <= before for before, after in zip(rate.boundaries, rate.boundaries[1:], strict=False)
    ):
        raise ConfigError(
            f"{section}.boundaries", f"expected ascending steps, received {rate.boundaries}"
        )


def forbid(section, prefix: str, keys: list[str], when: str) -> None:
    """Raises a `ConfigError` if one of the section's keys is given."""
    for key in keys:
        value = getattr(section, key)
        if value is not None:
            shown = value if not hasattr(value, "as_dict") else value.as_dict()
            raise ConfigError(f"{prefix}.{key}", f"must be null {when}, received {shown}")
