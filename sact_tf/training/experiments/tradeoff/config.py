"""The config of a FLOPs-against-accuracy experiment, and the runs that it means."""

import dataclasses
from typing import Any, Literal

from official.modeling.hyperparams import base_config

from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.field_types import LARGEST_SEED, PositiveFloat, PositiveInt
from sact_tf.training.config.loading import ConfigError, RootConfig, unlocked_copy
from sact_tf.training.experiments.stage import StageConfig, apply_stage


@dataclasses.dataclass
class MethodConfig(base_config.Config):
    """What is run of ACT, or of SACT. Every network starts from the plain one.

    Attributes:
        ponder_weights: one network for each tau.
        matched_baselines: of these taus also the plain network with as many units per block.
        flops_budgets: one network for each budget, tau adapted (`train.flops_budget`).
        calibrated: the network of the lowest tau is calibrated to each of these shares of the plain
            network's FLOPs, without training (`sact_tf.budget.calibrate`).
    """

    ponder_weights: list[PositiveFloat] = dataclasses.field(default_factory=list)
    matched_baselines: list[PositiveFloat] = dataclasses.field(default_factory=list)
    flops_budgets: list[PositiveFloat] = dataclasses.field(default_factory=list)
    calibrated: list[PositiveFloat] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class TradeoffConfig(RootConfig):
    """An experiment like figure 7 of the paper.

    Attributes:
        base: the plain network: model, data, training.
        adaptive: how ACT and SACT are trained from it.
        matched: how the matched baselines are trained.
        act, sact: what is run.
        other_depths: standard depths of further plain networks (`base.model.network: imagenet`).
        other_units: units per block of further plain networks (`base.model.network: cifar`). Each
            is trained from scratch with as many updates as an adaptive network and the plain one
            that it starts from have together.
        image_sizes: sides in pixels at which everything is evaluated.
        seeds: number of times that everything is run, with seeds from `base.train.seed` on.
        calibration_images: training images that calibration looks at.
    """

    base: ClassificationConfig = dataclasses.field(default_factory=ClassificationConfig)
    adaptive: StageConfig = dataclasses.field(default_factory=StageConfig)
    matched: StageConfig = dataclasses.field(default_factory=StageConfig)
    act: MethodConfig = dataclasses.field(default_factory=MethodConfig)
    sact: MethodConfig = dataclasses.field(default_factory=MethodConfig)
    other_depths: list[Literal[50, 101, 152, 200]] = dataclasses.field(default_factory=list)
    other_units: list[PositiveInt] = dataclasses.field(default_factory=list)
    image_sizes: list[PositiveInt] = dataclasses.field(default_factory=lambda: [224])
    seeds: PositiveInt = 1
    calibration_images: PositiveInt = 500

    def resolve(self) -> None:
        try:
            self.base.resolve()
        except ConfigError as error:
            raise ConfigError(f"base.{error.key}", error.message) from None
        for key in ("halting", "flops_budget", "warm_start"):
            section = self.base.model if key == "halting" else self.base.train
            if getattr(section, key) is not None:
                name = f"base.{'model' if key == 'halting' else 'train'}.{key}"
                raise ConfigError(
                    name,
                    "the base is the plain network; expected null, received "
                    f"{getattr(section, key)}",
                )
        for kind in ("act", "sact"):
            method = getattr(self, kind)
            if method.calibrated and not method.ponder_weights:
                raise ConfigError(f"{kind}.calibrated", "needs a network in ponder_weights")
            unknown = set(method.matched_baselines) - set(method.ponder_weights)
            if unknown:
                raise ConfigError(
                    f"{kind}.matched_baselines",
                    f"expected some of ponder_weights {method.ponder_weights}, received "
                    f"{method.matched_baselines}",
                )
        if self.other_depths and self.base.model.network != "imagenet":
            raise ConfigError("other_depths", "only network: imagenet has standard depths")
        if self.other_units and self.base.model.network != "cifar":
            raise ConfigError("other_units", "only network: cifar has units per block")
        last_seed = self.base.train.seed + self.seeds - 1
        if last_seed > LARGEST_SEED:
            raise ConfigError(
                "seeds",
                f"from base.train.seed ({self.base.train.seed}) on: expected the last one to be at "
                f"most {LARGEST_SEED}, received {last_seed}",
            )
        for run in planned_runs(self):
            if run.method in ("act", "sact", "act_budget", "sact_budget"):
                try:
                    run_config(self, run, "unknown")
                except ConfigError as error:
                    raise ConfigError(f"{run.method} ({error.key})", error.message) from None


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A network to train, or to make from a trained one.

    Attributes:
        method: `plain`, `act`, `sact`, `act_matched`, `sact_matched`, `act_budget`, `sact_budget`,
            `act_calibrated` or `sact_calibrated`.
        seed: of the run.
        value: tau, budget, depth or units per block; None for the plain network itself.
        source: name of the run that it starts from or matches; None for the plain networks.
    """

    method: str
    seed: int
    value: float | None = None
    source: str | None = None

    @property
    def name(self) -> str:
        """Directory of the run, relative to that of all runs."""
        label = self.method if self.value is None else f"{self.method}_{self.value:g}"
        return f"seed{self.seed}/{label}"

    @property
    def halting(self) -> Literal["act", "sact"] | None:
        """Whether and how the network halts."""
        kind, _, variant = self.method.partition("_")
        if kind == "plain" or variant == "matched":
            return None
        return "act" if kind == "act" else "sact"


def planned_runs(config: TradeoffConfig) -> list[PlannedRun]:
    """All runs of the experiment, every one after those it needs."""
    runs = []
    first = config.base.train.seed
    for seed in range(first, first + config.seeds):
        plain = PlannedRun("plain", seed)
        runs.append(plain)
        others = [*config.other_depths, *config.other_units]
        runs += [PlannedRun("plain", seed, value) for value in others]
        for kind in ("act", "sact"):
            method = getattr(config, kind)
            by_tau = {tau: PlannedRun(kind, seed, tau, plain.name) for tau in method.ponder_weights}
            runs += by_tau.values()
            runs += [
                PlannedRun(f"{kind}_matched", seed, tau, by_tau[tau].name)
                for tau in method.matched_baselines
            ]
            runs += [
                PlannedRun(f"{kind}_budget", seed, budget, plain.name)
                for budget in method.flops_budgets
            ]
            runs += [
                PlannedRun(f"{kind}_calibrated", seed, share, by_tau[min(by_tau)].name)
                for share in method.calibrated
            ]
    return runs


def run_config(
    config: TradeoffConfig, run: PlannedRun, source_dir: str | None = None
) -> ClassificationConfig:
    """The config of a plain, ACT or SACT run.

    Args:
        config: resolved.
        run: not a matched baseline (see `matched_config`), not a calibrated network.
        source_dir: directory of the run it starts from; none for a plain network.
    """
    result = unlocked_copy(config.base)
    result.train.seed = run.seed
    if run.method == "plain":
        if run.value is not None:
            _change_depth(config, int(run.value), result)
    else:
        result.model.halting = run.halting
        result.train.warm_start = source_dir
        if run.method.endswith("_budget"):
            result.train.flops_budget = run.value
        else:
            result.model.ponder_weight = run.value
        apply_stage(config.adaptive, result.train)
    result.resolve()
    result.lock()
    return result


def _change_depth(config: TradeoffConfig, value: Any, result: ClassificationConfig) -> None:
    """Makes the config of the plain network that of another plain network."""
    if result.model.network == "imagenet":
        result.model.depth, result.model.units = value, None
        return
    result.model.units_per_block = value
    result.train.steps += config.adaptive.steps or result.train.steps
