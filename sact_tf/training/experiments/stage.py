"""What the later networks of an experiment train with, where it is not as for the first."""

import dataclasses

from official.modeling.hyperparams import base_config

from sact_tf.training.config.field_types import PositiveInt
from sact_tf.training.config.loading import unlocked_copy
from sact_tf.training.config.sections import LearningRateConfig, TrainConfig


@dataclasses.dataclass
class StageConfig(base_config.Config):
    """What a stage trains with, where it is not as `base.train` says.

    Attributes:
        steps: of training; as the plain network's if null.
        learning_rate: schedule; as the plain network's if null.
    """

    steps: PositiveInt | None = None
    learning_rate: LearningRateConfig | None = None


def apply_stage(stage: StageConfig, train: TrainConfig) -> None:
    """Puts what a stage says into the section `train` of a run, in place."""
    if stage.steps is not None:
        train.steps = stage.steps
    if stage.learning_rate is not None:
        train.learning_rate = unlocked_copy(stage.learning_rate)
