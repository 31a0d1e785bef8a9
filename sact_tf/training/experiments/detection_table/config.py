"""The config of a table of detectors (table 1 of the paper), and the runs that it means."""

import dataclasses
from typing import Literal

from sact_tf.training.config.field_types import PositiveFloat, PositiveInt
from sact_tf.training.config.loading import ConfigError, RootConfig, unlocked_copy
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.experiments.stage import StageConfig, apply_stage


@dataclasses.dataclass
class DetectionTableConfig(RootConfig):
    """Plain extractors of two depths, and adaptive ones for several tau.

    Attributes:
        base: the deep plain detector: model, data, training.
        shallow_units: units per block of the shallow plain detector; none if null.
        sact: one SACT detector for each tau.
        act: one ACT detector for each tau.
        adaptive: how ACT and SACT are trained, from the deep plain detector on.
    """

    base: DetectionConfig = dataclasses.field(default_factory=DetectionConfig)
    shallow_units: list[PositiveInt] | None = None
    sact: list[PositiveFloat] = dataclasses.field(default_factory=list)
    act: list[PositiveFloat] = dataclasses.field(default_factory=list)
    adaptive: StageConfig = dataclasses.field(default_factory=StageConfig)

    def resolve(self) -> None:
        try:
            self.base.resolve()
        except ConfigError as error:
            raise ConfigError(f"base.{error.key}", error.message) from None
        if self.base.model.halting is not None:
            raise ConfigError(
                "base.model.halting",
                "the base is the plain detector; expected null, received "
                f"{self.base.model.halting}",
            )
        units = self.base.model.units
        if self.shallow_units is not None and (
            units is None or len(units) != len(self.shallow_units)
        ):
            raise ConfigError(
                "shallow_units",
                f"expected one number for each block of base.model.units ({units}), received "
                f"{self.shallow_units}",
            )
        for planned in planned_detectors(self):
            try:
                detector_config(self, planned, "unknown")
            except ConfigError as error:
                raise ConfigError(f"{planned.name} ({error.key})", error.message) from None


@dataclasses.dataclass(frozen=True)
class PlannedDetector:
    """A detector to train.

    Attributes:
        halting: None, "act" or "sact".
        ponder_weight: tau, None without halting.
        shallow: whether it has the shallow extractor.
    """

    halting: Literal["act", "sact"] | None = None
    ponder_weight: float | None = None
    shallow: bool = False

    @property
    def name(self) -> str:
        """Directory of the run."""
        if self.halting is None:
            return "plain_shallow" if self.shallow else "plain_deep"
        return f"{self.halting}_{self.ponder_weight:g}"


def planned_detectors(config: DetectionTableConfig) -> list[PlannedDetector]:
    """All detectors of the table, the deep plain one first."""
    planned = [PlannedDetector()]
    if config.shallow_units is not None:
        planned.append(PlannedDetector(shallow=True))
    planned += [PlannedDetector("sact", tau) for tau in config.sact]
    planned += [PlannedDetector("act", tau) for tau in config.act]
    return planned


def detector_config(
    config: DetectionTableConfig, planned: PlannedDetector, deep_dir: str
) -> DetectionConfig:
    """The config of one run.

    Args:
        config: resolved.
        planned: the detector.
        deep_dir: directory of the run of the deep plain detector.
    """
    result = unlocked_copy(config.base)
    if planned.shallow:
        result.model.units = list(config.shallow_units or [])
    if planned.halting is not None:
        result.model.halting = planned.halting
        result.model.ponder_weight = planned.ponder_weight
        result.train.warm_start = deep_dir
        apply_stage(config.adaptive, result.train)
    result.resolve()
    result.lock()
    return result
