"""What the keys of the sections of any training config demand of one another."""

from official.modeling.hyperparams import base_config

from sact_tf.training.config.loading import ConfigError
from sact_tf.training.config.sections import ModelConfig, RuntimeConfig, TrainConfig

BLOCKS = {"imagenet": 4, "keras": 4, "cifar": 3}
_BASE_CHANNELS = {"imagenet": 64, "keras": 64, "cifar": 16}
# The authors' and Keras'. Runs that were begun before configs had the key go on with what they had.
_BATCH_NORM_MOMENTUM = {"imagenet": 0.997, "keras": 0.99, "cifar": 0.9}
_HALTING_DEFAULTS = {"ponder_weight": 0.005, "halting_epsilon": 0.01, "halting_bias": -3.0}


def num_blocks(model: ModelConfig) -> int:
    """Number of blocks of the network."""
    return len(model.units) if model.units else BLOCKS[model.network]


def resolve_network(model: ModelConfig) -> None:
    """Checks and completes what describes the units.

    Args:
        model: changed in place.

    Raises:
        ConfigError: a combination is impossible; names the key, what is allowed and what came.
    """
    if model.network != "cifar":
        name = f"network: {model.network}"
        forbid(model, "model", ["units_per_block"], f"with {name} (give depth or units)")
        if (model.depth is None) == (model.units is None):
            raise ConfigError(
                "model.depth",
                f"{name} takes exactly one of depth and units, "
                f"received depth={model.depth} and units={model.units}",
            )
    else:
        forbid(model, "model", ["depth", "units"], "with network: cifar (give units_per_block)")
        if model.units_per_block is None:
            raise ConfigError("model.units_per_block", "network: cifar needs it, received null")
        units = model.units_per_block
        if isinstance(units, list) and len(units) != BLOCKS["cifar"]:
            raise ConfigError(
                "model.units_per_block",
                f"expected an int or one per block ({BLOCKS['cifar']}), received {units}",
            )
    if model.base_channels is None:
        model.base_channels = _BASE_CHANNELS[model.network]
    if model.batch_norm_momentum is None:
        model.batch_norm_momentum = _BATCH_NORM_MOMENTUM[model.network]


def resolve_halting(model: ModelConfig) -> None:
    """Checks and completes what describes the halting, as `resolve_network` the units."""
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
            "model.execution",
            f"{model.execution} computes the active positions only, and trains with their "
            f"statistics; expected model.statistics=evaluated beside it, received "
            f"{model.statistics}",
        )
    if model.halting is None:
        forbid(model, "model", list(_HALTING_DEFAULTS), "with halting: null")
        return
    for key, value in _HALTING_DEFAULTS.items():
        if getattr(model, key) is None:
            setattr(model, key, value)


def check_learning_rate(train: TrainConfig) -> None:
    """Checks the schedule.

    Raises:
        ConfigError: as `resolve_network`.
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


def check_runtime(runtime: RuntimeConfig, train: TrainConfig, execution: str) -> None:
    """Checks `runtime`, and `train` and `model.execution` beside it.

    Raises:
        ConfigError: as `resolve_network`.
    """
    for key, strategy in (("replicas", "mirrored"), ("tpu", "tpu")):
        value = getattr(runtime, key)
        if value is not None and runtime.strategy != strategy:
            raise ConfigError(
                f"runtime.{key}",
                f"must be null with strategy: {runtime.strategy}, received {value}",
            )
    if runtime.strategy == "tpu" and not runtime.tpu:
        raise ConfigError("runtime.tpu", "strategy: tpu needs the name of a TPU, or local")
    if runtime.strategy == "tpu" and execution != "masked":
        raise ConfigError(
            "model.execution",
            f"strategy: tpu compiles static shapes; expected masked, received {execution}",
        )
    check_shares(train.batch_size, (runtime.replicas or 1) * train.gradient_accumulation)


def check_shares(batch_size: int, parts: int) -> None:
    """Raises a `ConfigError` if a batch cannot be shared evenly by replicas and accumulation."""
    if batch_size % parts:
        raise ConfigError(
            "train.batch_size",
            f"expected a multiple of replicas * gradient_accumulation ({parts}), "
            f"received {batch_size}",
        )


def forbid(section: base_config.Config, prefix: str, keys: list[str], when: str) -> None:
    """Raises a `ConfigError` if one of the section's keys is given."""
    for key in keys:
        value = getattr(section, key)
        if value is not None:
            shown = value if not hasattr(value, "as_dict") else value.as_dict()
            raise ConfigError(f"{prefix}.{key}", f"must be null {when}, received {shown}")
