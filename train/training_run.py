"""A training run: checkpoints and evaluations on the way, and what is written."""

import abc
import contextlib
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import orbit
import tensorflow as tf

import sact_tf
from sact_tf.data.errors import unwrap
from sact_tf.errors import UserError
from sact_tf.files import atomic_path, atomic_write_json
from train import exit_codes, program
from train.checkpointing import TrainingCheckpoints
from train.evaluator import Evaluator
from train.history import History
from train.learning_rate import LearningRate
from train.optimizer import build_optimizer
from train.progress import Progress, orbit_silenced
from train.run_directory import RunDirectory
from train.trainer import Trainer, TrainingDiverged


class TrainingRun(abc.ABC):
    """Model, data and bookkeeping of one `--model_dir`, restored to its newest checkpoint.

    A subclass builds the parts and says what an evaluation means: the methods without an underscore
    from `build_data` to `write_report`.

    Args:
        config: resolved; has the sections `train`, `evaluation` and `runtime`.
        directory: where everything is written.
        trains: False for an evaluation, which needs a checkpoint.
    """

    # Means of the log interval that stand in the progress lines, where the trainer gives them.
    shown: Sequence[str] = ("loss",)

    def __init__(self, config, directory: RunDirectory, trains: bool):
        changes = directory.adopt(config, read_only=True)
        if config.runtime.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.config = config
        self.directory = directory
        self.strategy = tf.distribute.get_strategy()
        self.data = self.build_data()
        self._check_sizes(trains)
        with self.strategy.scope():
            self.model = self.build_model()
            learning_rate = LearningRate(config.train.learning_rate, config.train.steps)
            optimizer = build_optimizer(config.train, learning_rate, self.model)
            self.controller = self.build_controller()
            self._step = orbit.utils.create_global_step()
            self._train_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.checkpoints = TrainingCheckpoints(
            directory.checkpoints,
            model=self.model,
            optimizer=optimizer,
            step=self._step,
            train_seconds=self._train_seconds,
            controller=self.controller,
            keep=config.train.keep_checkpoints,
        )
        restored = self.checkpoints.restore()
        self.progress = Progress(config.train.steps, self.step, self.shown)
        if restored:
            self.progress.say(f"restored {restored}")
        elif not trains:
            raise UserError(f"--model_dir={directory.path}: nothing to evaluate, no checkpoint")
        elif config.train.warm_start:
            self._warm_start(config.train.warm_start)
        if trains:
            directory.adopt(config)
            for change in changes:
                self.progress.say(f"going on with a changed config: {change}")
        self._history = History(directory.history, self.step if trains else None)
        with self.strategy.scope():
            self.evaluator = self.build_evaluator()
            trainer = None
            if trains:
                trainer = self.build_trainer(
                    model=self.model,
                    optimizer=optimizer,
                    learning_rate=learning_rate,
                    dataset=self.data.train(
                        config.train.batch_size, config.train.seed, start_step=self.step
                    ),
                    step=self._step,
                    controller=self.controller,
                )
        self._controller = orbit.Controller(
            global_step=self._step,
            trainer=trainer,
            evaluator=self.evaluator,
            strategy=self.strategy,
            train_actions=[self._after_interval],
            steps_per_loop=lambda step: _next_multiple(step, config.train.log_every) - step,
            summary_dir=str(directory.events / "train"),
            eval_summary_dir=str(directory.events / "validation"),
        )

    @abc.abstractmethod
    def build_data(self):
        """Returns the data set: `num_examples(split)`, `train(batch_size, seed, start_step)`."""

    @abc.abstractmethod
    def build_model(self) -> keras.Model:
        """Returns the model with fresh weights from `config.train.seed`."""

    @abc.abstractmethod
    def build_trainer(self, **kwargs) -> Trainer:
        """Returns the trainer; `kwargs` are the arguments of `Trainer`."""

    @abc.abstractmethod
    def build_evaluator(self) -> Evaluator:
        """Returns the evaluator on the held-out data."""

    def build_controller(self):
        """Returns the `BudgetController` of the training, or None (default)."""
        return None

    @abc.abstractmethod
    def warm_start(self, path: str) -> Sequence[str]:
        """Takes over weights from elsewhere; returns a line for everything not covered."""

    @abc.abstractmethod
    def evaluation_line(self, values: dict[str, float]) -> str:
        """Says the result of an evaluation in a few words, for the log."""

    def remarks(self) -> Iterable[str]:
        """Lines for the log after each evaluation; none by default."""
        return ()

    def own_metrics(self, evaluated: bool) -> dict[str, Any]:
        """Returns what `metrics.json` has beside `common_metrics` and the evaluation's numbers.

        Args:
            evaluated: whether there has been an evaluation. Nothing by default.
        """
        del evaluated
        return {}

    @abc.abstractmethod
    def write_report(self, metrics: dict[str, Any]) -> None:
        """Writes what people look at after an evaluation.

        Args:
            metrics: the content of `metrics.json`.
        """

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self._step)

    def train(self, evaluates: bool) -> None:
        """Trains to the last step; checkpoints on the way.

        Args:
            evaluates: evaluate every `evaluation.every` steps (not at the end).

        Raises:
            TrainingDiverged: see `Trainer`; the newest checkpoint is the last good one.
        """
        last, every = self.config.train.steps, self.config.evaluation.every if evaluates else None
        if self.step >= last:
            self.progress.say(f"all {last} steps are done")
        self._evaluate_if_due(every)
        while self.step < last:
            stop = min(last, _next_multiple(self.step, self.config.train.checkpoint_every))
            stop = min(stop, _next_multiple(self.step, every)) if every else stop
            start = time.monotonic()
            with orbit_silenced():
                self._controller.train(stop)
            self._train_seconds.assign_add(time.monotonic() - start)
            if stop % self.config.train.checkpoint_every == 0 or stop == last:
                self.checkpoints.save()
            self._evaluate_if_due(every)
        self.progress.close()
        self._save_model()
        if not evaluates:
            atomic_write_json(
                self.directory.metrics, {**self.common_metrics(), **self.own_metrics(False)}
            )

    def evaluate(self) -> dict[str, Any]:
        """Evaluates the current weights; writes metrics and report.

        Returns:
            The content of `metrics.json`.
        """
        self.progress.say(f"evaluating on {self.data.num_examples('validation')} held-out images")
        values = _nested(self._evaluate())
        metrics = {**values, **self.common_metrics(), **self.own_metrics(True)}
        atomic_write_json(self.directory.metrics, metrics)
        self.write_report(metrics)
        return metrics

    def common_metrics(self) -> dict[str, Any]:
        """What `metrics.json` says of every run."""
        weights = self.model.trainable_variables
        return {
            "steps": self.step,
            "train_seconds": round(float(self._train_seconds), 3),
            "parameters": sum(int(np.prod(weight.shape)) for weight in weights),
            "seed": self.config.train.seed,
            "versions": {
                "sact_tf": sact_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "python": platform.python_version(),
            },
        }

    def _check_sizes(self, trains: bool) -> None:
        examples, batch_size = self.data.num_examples("train"), self.config.train.batch_size
        if trains and batch_size > examples:
            raise UserError(
                f"train.batch_size: expected at most the number of training images ({examples}), "
                f"received {batch_size}"
            )
        if self.data.num_examples("validation") < 1:
            raise UserError("data: the validation split has no images")

    def _warm_start(self, path: str) -> None:
        uncovered = self.warm_start(path)
        self.progress.say(f"warm start from {path}; not covered, hence new:")
        for line in uncovered or ["nothing"]:
            self.progress.say(f"  {line}")

    def _after_interval(self, values) -> None:
        self._history.append("train", self.step, dict(values))
        self.progress.update(self.step, values)

    def _evaluate_if_due(self, every: int | None) -> None:
        due = every and self.step and self.step % every == 0 and self.step < self.config.train.steps
        if due and not self._history.has("validation", self.step):
            start = time.monotonic()
            values = self._evaluate()
            self.progress.pause(time.monotonic() - start)
            self.progress.say(f"step {self.step}: {self.evaluation_line(values)}")

    def _evaluate(self) -> dict[str, float]:
        with orbit_silenced():
            values = self._controller.evaluate()
        # The controller hands scalars back as arrays of NumPy.
        values = {name: np.asarray(value).item() for name, value in values.items()}
        if not self._history.has("validation", self.step):
            self._history.append("validation", self.step, values)
        for line in self.remarks():
            self.progress.say(line)
        return values

    def _save_model(self) -> None:
        with atomic_path(self.directory.model) as temporary:
            self.model.save(temporary)


def perform(run: TrainingRun, mode: str) -> dict[str, Any] | None:
    """Trains and evaluates.

    Args:
        run: just made.
        mode: `train`, `eval` or `train_and_eval`.

    Returns:
        The content of `metrics.json` where there is an evaluation.

    Raises:
        Failure: training diverged; names the step and the last good checkpoint.
        UserError: the data is unusable.
    """
    with _user_errors_unwrapped():
        if mode != "eval":
            try:
                run.train(evaluates=mode == "train_and_eval")
            except TrainingDiverged as error:
                latest = run.checkpoints.latest
                good = f"the last good checkpoint is {latest}" if latest else "there is none yet"
                raise program.Failure(
                    f"training stopped: {error}; {good}", exit_codes.DIVERGED
                ) from None
        return run.evaluate() if mode != "train" else None


@contextlib.contextmanager
def _user_errors_unwrapped() -> Iterator[None]:
    """Turns an error of TensorFlow back into the user's mistake that an input pipeline met."""
    try:
        yield
    except tf.errors.OpError as error:
        # A damaged image is met by the step that consumes it.
        if user_error := unwrap(error):
            raise user_error from None
        raise


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval


def _nested(values: dict[str, float]) -> dict:
    """`{"num_units/block1": 2.1}` -> `{"num_units": {"block1": 2.1}}`."""
    result: dict = {}
    for name, value in values.items():
        group, slash, key = name.partition("/")
        if slash:
            result.setdefault(group, {})[key] = value
        else:
            result[group] = value
    return result
