"""What a training run leaves to the programs: the task."""

import abc
from collections.abc import Sequence
from typing import Any

import keras

from sact_tf.training.loop.evaluator import Evaluator
from sact_tf.training.loop.trainer import Trainer


class TrainingTask(abc.ABC):
    """Builds the parts of a training run, and says what an evaluation means.

    The methods that build are called once each, in the order in which they stand here, all but
    `build_data` in the scope of the strategy; what was built before is an attribute then.

    Attributes:
        config: resolved.
        directory: `RunDirectory`.
        data: from `build_data`.
        model: from `build_model`.
        state: `TrainingState`.
        evaluator: from `build_evaluator`.
    """

    # Means of the log interval that stand in the progress lines, where the trainer gives them.
    shown: Sequence[str] = ("loss",)

    @abc.abstractmethod
    def build_data(self):
        """Returns the data set.

        It has `num_examples(split)` and `train(batch_size, seed, start_step, step_stride)`, as
        `sact_tf.data.ImageClassificationData` describes them.
        """

    @abc.abstractmethod
    def build_model(self) -> keras.Model:
        """Returns the model with fresh weights from `config.train.seed`."""

    def build_controller(self):
        """Returns the `BudgetController` of the training, or None (default)."""
        return None

    @abc.abstractmethod
    def build_evaluator(self) -> Evaluator:
        """Returns the evaluator on the held-out data."""

    @abc.abstractmethod
    def build_trainer(self, **kwargs) -> Trainer:
        """Returns the trainer; `kwargs` are all arguments of `Trainer`."""

    @abc.abstractmethod
    def warm_start(self, path: str) -> dict[str, str]:
        """Takes over weights from elsewhere; returns {place: reason} of what is not covered."""

    @abc.abstractmethod
    def evaluation_line(self, values: dict[str, float]) -> str:
        """Says the result of an evaluation in a few words, for the log."""

    def own_metrics(self, evaluated: bool) -> dict[str, Any]:
        """Returns what `metrics.json` has beside the numbers of every run; nothing by default.

        Args:
            evaluated: whether there has been an evaluation.
        """
        del evaluated
        return {}

    @abc.abstractmethod
    def write_report(self, metrics: dict[str, Any]) -> None:
        """Writes what people look at after an evaluation.

        Args:
            metrics: the content of `metrics.json`.
        """
