"""The config of a table of detectors (table 1 of the paper), and the runs that it means."""

import dataclasses

from official.modeling.hyperparams import base_config

from sact_tf.training.config.field_types import PositiveFloat, PositiveInt
from sact_tf.training.config.loading import ConfigError, unlocked_copy
from sact_tf.training.detection import checks as detection_checks
from sact_tf.training.detection import config as detection_configs
from sact_tf.training.experiments.tradeoff.config import StageConfig, apply_stage


@dataclasses.dataclass
class DetectionTableConfig(base_config.Config):
    """Plain extractors of two depths, and adaptive ones for several tau.

    Attributes:
        base: the deep plain detector: model, data, training.
        shallow_units: units per block of the shallow plain detector; none if null.
        sact: one SACT detector for each tau.
        act: one ACT detector for each tau.
        adaptive: how ACT and SACT are trained, from the deep plain detector on.
    """

    base: detection_configs.DetectionConfig = dataclasses.field(
        default_factory=detection_configs.DetectionConfig
    )
    shallow_units: list[PositiveInt] | None = None
    sact: list[PositiveFloat] = dataclasses.field(default_factory=list)
    act: list[PositiveFloat] = dataclasses.field(default_factory=list)
    adaptive: StageConfig = dataclasses.field(default_factory=StageConfig)


@dataclasses.dataclass(frozen=True)
class PlannedDetector:
    """A detector to train.

    Attributes:
        halting: None, "act" or "sact".
        ponder_weight: tau, None without halting.
        shallow: whether it has the shallow extractor.
    """

    halting: str | None = None
    ponder_weight: float | None = None
    shallow: bool = False

    @property
    def name(self) -> str:
        """Directory of the run."""
        if self.halting is None:
            return "plain_shallow" if self.shallow else "plain_deep"
        return f"{self.halting}_{self.ponder_weight:g}"


def resolve(config: DetectionTableConfig) -> None:
    """Fills in what depends on other keys, in place.

    Raises:
        ConfigError: a combination is impossible.
    """
    try:
        detection_checks.resolve(config.base)
    except ConfigError as error:
        raise ConfigError(f"base.{error.key}", error.message) from None
    if config.base.model.halting is not None:
        raise ConfigError(
            "base.model.halting",
            f"the base is the plain detector; expected null, received {config.base.model.halting}",
        )
    units = config.base.model.units
    if config.shallow_units is not None and (
        units is None or len(units) != len(config.shallow_units)
    ):
        raise ConfigError(
            "shallow_units",
            f"expected one number for each block of base.model.units ({units}), received "
            f"{config.shallow_units}",
        )
    for planned in planned_detectors(config):
        try:
            detector_config(config, planned, "unknown")
        except ConfigError as error:
            raise ConfigError(f"{planned.name} ({error.key})", error.message) from None


def planned_detectors(config: DetectionTableConfig) -> list[PlannedDetector]:
    """All detectors of the table, the deep plain one first."""
    planned = [PlannedDetector()]
    if config.shallow_units is not None:
        planned.append(PlannedDetector(shallow=True))
    for halting in ("sact", "act"):
        planned += [PlannedDetector(halting, tau) for tau in getattr(config, halting)]
    return planned


def detector_config(
    config: DetectionTableConfig, planned: PlannedDetector, deep_dir: str
) -> detection_configs.DetectionConfig:
    """The config of one run.

    Args:
        config: resolved.
        planned: the detector.
        deep_dir: directory of the run of the deep plain detector.
    """
    result = unlocked_copy(config.base)
    if planned.shallow:
        result.model.units = list(config.shallow_units)
    if planned.halting is not None:
        result.model.halting = planned.halting
        result.model.ponder_weight = planned.ponder_weight
        result.train.warm_start = deep_dir
        apply_stage(config.adaptive, result.train)
    detection_checks.resolve(result)
    result.lock()
    return result
