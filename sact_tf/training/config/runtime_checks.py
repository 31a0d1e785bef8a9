"""What `train` and `runtime` of any training config demand of the rest."""

from sact_tf.training.config.loading import ConfigError


def check_runtime(config) -> None:
    """Checks `runtime`, and `train` beside it.

    Args:
        config: has the sections `model`, `train` and `runtime`.

    Raises:
        ConfigError: a combination is impossible; names the key, what is allowed and what came.
    """
    runtime, train = config.runtime, config.train
    for key, strategy in (("replicas", "mirrored"), ("tpu", "tpu")):
        value = getattr(runtime, key)
        if value is not None and runtime.strategy != strategy:
            raise ConfigError(
                f"runtime.{key}",
                f"must be null with strategy: {runtime.strategy}, received {value}",
            )
    if runtime.strategy == "tpu" and not runtime.tpu:
        raise ConfigError("runtime.tpu", "strategy: tpu needs the name of a TPU, or local")
    if runtime.strategy == "tpu" and config.model.execution != "masked":
        raise ConfigError(
            "model.execution",
            "strategy: tpu compiles static shapes; expected masked, received "
            f"{config.model.execution}",
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
