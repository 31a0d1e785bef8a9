"""What the configs of all training runs have in common."""

import dataclasses

from official.modeling.hyperparams import base_config

from sact_tf.training.config import checks
from sact_tf.training.config.loading import RootConfig
from sact_tf.training.config.sections import (
    EvaluationConfig,
    ModelConfig,
    RuntimeConfig,
    TrainConfig,
)


@dataclasses.dataclass
class TrainingConfig(RootConfig):
    """A training run. The sections are described by their classes; `data` is the task's own."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: base_config.Config = dataclasses.field(default_factory=base_config.Config)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = dataclasses.field(default_factory=RuntimeConfig)

    def resolve(self) -> None:
        checks.resolve_network(self.model)
        checks.resolve_halting(self.model)
        checks.check_learning_rate(self.train)
        checks.check_runtime(self.runtime, self.train, self.model.execution)
