"""What a training run leaves to its task."""

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import keras
import tensorflow as tf

from sact_tf.budget import BudgetController
from sact_tf.data.identity import DataIdentity
from sact_tf.errors import UserError
from sact_tf.training.config.training_config import TrainingConfig
from sact_tf.training.loop.evaluator import Evaluator
from sact_tf.training.loop.preemption import Preemption
from sact_tf.training.loop.state import TrainingState
from sact_tf.training.loop.trainer import Trainer
from sact_tf.training.run_directory.directory import RunDirectory


class TrainingData(Protocol):
    """What a run needs of its data set; see `sact_tf.data.ImageClassificationData`."""

    def num_examples(self, split: str) -> int:
        """Number of images of `train` or `validation`."""

    def identity(self) -> DataIdentity:
        """Classes and files, which a run remembers."""

    def train(
        self, batch_size: int, seed: int, start_step: int = 0, step_stride: int = 1
    ) -> tf.data.Dataset:
        """Endless training batches, from batch number `start_step` on."""


class Task(abc.ABC):
    """Builds the parts of a training run, and says what an evaluation means.

    `build_model`, `build_controller`, `build_evaluator` and `build_trainer` are called in the scope
    of the run's strategy. A task's own data, model and evaluator come back to its other methods.

    Args:
        config: resolved.

    Attributes:
        config: the same.
    """

    # Means of the log interval that stand in the progress lines, where the trainer gives them.
    shown: ClassVar[Sequence[str]] = ("loss",)

    def __init__(self, config: TrainingConfig):
        self.config = config

    @abc.abstractmethod
    def build_data(self) -> TrainingData:
        """Returns the data set."""

    @abc.abstractmethod
    def build_model(self, data: Any) -> keras.Model:
        """Returns the model for `data`, with fresh weights from `config.train.seed`."""

    def build_controller(self, model: Any, data: Any) -> BudgetController | None:
        """Returns what steers the FLOPs of training; None by default."""
        del model, data
        return None

    @abc.abstractmethod
    def build_trainer(
        self,
        state: TrainingState,
        batches: Iterable[Any],
        data: Any,
        preemption: Preemption | None = None,
    ) -> Trainer:
        """Returns the trainer, for batches of `data`; see `Trainer`."""

    @abc.abstractmethod
    def build_evaluator(self, model: Any, data: Any) -> Evaluator:
        """Returns the evaluator on the held-out data."""

    @abc.abstractmethod
    def load_source(self, path: str) -> Any:
        """Loads the model that a warm start begins from."""

    def warm_start(self, model: Any, path: str) -> dict[str, str]:
        """Takes over weights from elsewhere; returns {place: reason} of what is not covered.

        Raises:
            UserError: there is no model, or nothing of it fits.
        """
        source = self.load_source(path)
        try:
            return model.warm_start(source)
        except UserError as error:
            raise UserError(f"train.warm_start={path}: {error}") from None

    @abc.abstractmethod
    def evaluation_line(self, values: dict[str, float]) -> str:
        """Says the result of an evaluation in a few words, for the log."""

    @abc.abstractmethod
    def summary(self, metrics: dict[str, Any]) -> Iterator[str]:
        """Lines that say how good the model is and what it costs.

        Args:
            metrics: the content of `metrics.json` after an evaluation.
        """

    def training_metrics(self) -> dict[str, Any]:
        """Returns what `metrics.json` has beside the numbers of every run; nothing by default."""
        return {}

    def evaluation_metrics(self, evaluator: Any) -> dict[str, Any]:
        """Returns what `metrics.json` has besides after an evaluation; nothing by default."""
        del evaluator
        return {}

    @abc.abstractmethod
    def write_report(
        self, directory: RunDirectory, metrics: dict[str, Any], evaluator: Any
    ) -> None:
        """Writes what people look at after an evaluation.

        Args:
            directory: of the run.
            metrics: the content of `metrics.json`.
            evaluator: what has evaluated.
        """
