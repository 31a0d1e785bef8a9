"""A training run: checkpoints and evaluations on the way, and what is written."""

import contextlib
import platform
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import orbit
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.files import atomic_path, atomic_write_json
from sact_tf.training.config.checks import check_shares
from sact_tf.training.loop.evaluator import nested
from sact_tf.training.loop.inference_time import inference_time
from sact_tf.training.loop.input_distribution import distributed_batches
from sact_tf.training.loop.preemption import Preemption
from sact_tf.training.loop.progress import Progress, orbit_silenced
from sact_tf.training.loop.same_data import build_same_data
from sact_tf.training.loop.state import build_state
from sact_tf.training.loop.strategies import build_strategy, num_workers, worker_index
from sact_tf.training.loop.task import Task
from sact_tf.training.loop.throughput import RATES
from sact_tf.training.loop.unit_usage import dead_units, usage_remarks
from sact_tf.training.run_directory.checkpoints import (
    TrainingCheckpoints,
    found_checkpoints,
    tracked_variables,
)
from sact_tf.training.run_directory.directory import RunDirectory, read_metrics
from sact_tf.training.run_directory.history import History
from sact_tf.training.run_directory.lock import lock_run
from sact_tf.training.run_directory.plain_run import read_plain_run
from sact_tf.version import __version__

# Share of the time beyond which the input is worth a warning.
_MUCH_WAITING = 0.2


class TrainingRun:
    """Model, data and bookkeeping of one `--model_dir`, restored to its newest checkpoint.

    Nothing is written before all of them are built, but for the lock of a directory that is there.

    Args:
        task: what is trained.
        directory: where everything is written.
        trains: False for an evaluation, which needs a checkpoint.

    Raises:
        UserError: the directory holds another run, or one on other classes, or another process is
            at work there; the data, the model or the devices cannot be had.
        WorkerLost: another worker has no data.
    """

    def __init__(self, task: Task, directory: RunDirectory, trains: bool = True):
        config = task.config
        self.task, self.config, self.directory = task, config, directory
        self.strategy = build_strategy(config.runtime)
        self.is_chief = worker_index(self.strategy) == 0
        if trains and directory.path.exists():
            self._lock()  # A second run gets no further, nor takes memory from the first.
        changes = directory.compare(config)
        if config.runtime.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.preemption = Preemption(always_deferred=num_workers(self.strategy) > 1)
        self.progress = Progress(config.train.steps, task.shown, speaks=self.is_chief)
        self._intervals, self._has_warned = 0, False
        self.data = build_same_data(self.strategy, task.build_data, self.progress.say)
        identity = self.data.identity()
        directory.compare_data(identity, changes)
        self._check_sizes(trains)
        with self.strategy.scope():
            self.model = task.build_model(self.data)
            controller = task.build_controller(self.model, self.data)
            self.state = build_state(config.train, self.model, controller)
        self.checkpoints = self._build_checkpoints()
        if trains:
            if config.train.warm_start and not found_checkpoints(directory.checkpoints):
                self._warm_start(config.train.warm_start)
            self._lock()
        changes = directory.compare(config)  # Another may have begun before the lock was had.
        if trains and found_checkpoints(directory.checkpoints):
            self._check_start(changes)
        for line in directory.compare_data(identity, changes):
            self.progress.say(line)
        restored = self.checkpoints.restore()
        if restored:
            self.progress.say(f"restored {restored}")
        elif not trains:
            raise UserError(f"--model_dir={directory.path}: nothing to evaluate, no checkpoint")
        if trains:
            if self.is_chief:
                directory.save(config, identity)
            for key, (before, now) in changes.items():
                self.progress.say(f"going on with a changed config: {key}: {before} -> {now}")
        self._history = History(
            directory.history, self.step if trains else None, writes=self.is_chief
        )
        with self.strategy.scope():
            self.evaluator = task.build_evaluator(self.model, self.data)
            trainer = (
                task.build_trainer(self.state, self.batches(), self.data, self.preemption)
                if trains
                else None
            )
        events = directory.events if self.is_chief else None
        self._controller = orbit.Controller(
            global_step=self.state.step,
            trainer=trainer,
            evaluator=self.evaluator,
            strategy=self.strategy,
            train_actions=[self._after_interval],
            steps_per_loop=lambda step: _next_multiple(step, config.train.log_every) - step,
            summary_dir=events and str(events / "train"),
            eval_summary_dir=events and str(events / "validation"),
        )

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.state.step.numpy())

    def batches(self) -> Iterable[Any]:
        """The training batches from the current step on, as `Trainer` takes them."""
        config = self.config.train
        parts = config.gradient_accumulation
        return distributed_batches(
            self.strategy,
            lambda size, *place: self.data.train(size, config.seed, *place),
            config.batch_size // parts,
            self.step * parts,
        )

    def train(self, evaluates: bool) -> None:
        """Trains to the last step; checkpoints on the way.

        Args:
            evaluates: evaluate every `evaluation.every` steps (not at the end).

        Raises:
            TrainingDiverged: see `Trainer`; the newest checkpoint is the last good one.
            Preempted: see `Trainer`; nothing has been saved of it yet.
        """
        last, every = self.config.train.steps, self.config.evaluation.every if evaluates else None
        self.progress.begin(self.step)
        if self.step >= last:
            self.progress.say(f"all {last} steps are done")
        self._evaluate_if_due(every)
        while self.step < last:
            stop = min(last, _next_multiple(self.step, self.config.train.checkpoint_every))
            stop = min(stop, _next_multiple(self.step, every)) if every else stop
            with orbit_silenced():
                self._controller.train(stop)
            if stop % self.config.train.checkpoint_every == 0 or stop == last:
                self.checkpoints.save()
            self._evaluate_if_due(every)
        self.progress.close()
        self._save_model()
        if not evaluates:
            self._write_metrics(
                {
                    **self._evaluated_before(),
                    **self._common_metrics(),
                    **self.task.training_metrics(),
                }
            )

    def stop(self) -> str | None:
        """Saves what there is before the process ends.

        Returns:
            Prefix of the newest checkpoint, or None.
        """
        latest = self.checkpoints.latest
        if self.step and (latest is None or not latest.endswith(f"-{self.step}")):
            self.checkpoints.save()
        return self.checkpoints.latest

    def evaluate(self) -> dict[str, Any]:
        """Evaluates the current weights; writes metrics and report.

        Returns:
            The content of `metrics.json`.
        """
        self.progress.say(f"evaluating on {self.data.num_examples('validation')} held-out images")
        values = nested(self._evaluate())
        usage = self.evaluator.unit_usage
        halts = self.config.model.halting is not None
        metrics = {
            **values,
            **self._common_metrics(),
            "unit_usage": usage,
            **({"dead_units": dead_units(usage)} if halts else {}),
            **self.task.training_metrics(),
            **self.task.evaluation_metrics(self.evaluator),
            **self._times(),
            **read_plain_run(self.config),
        }
        self._write_metrics(metrics)
        if self.is_chief:
            self.task.write_report(self.directory, metrics, self.evaluator)
        return metrics

    def _times(self) -> dict[str, Any]:
        """`timing`, of the weights that are evaluated; nothing where it is not to be had."""
        evaluation = self.config.evaluation
        if not (evaluation.time and self.is_chief) or self.config.runtime.strategy == "tpu":
            return {}
        self.progress.say("measuring times")
        with self._averaged():
            images = self.evaluator.kept_images()
            times = inference_time(self.model, images, evaluation.batch_size)
        return {"timing": times} if times else {}

    def _common_metrics(self) -> dict[str, Any]:
        """What `metrics.json` says of every run."""
        controller = self.state.controller
        weights = self.model.trainable_variables
        return {
            "halting": self.config.model.halting,
            "ponder_weight": (
                self.config.model.ponder_weight
                if controller is None
                else float(controller.ponder_weight)
            ),
            "corrupt_images_skipped": len(getattr(self.data, "corrupt_images", ())),
            "steps": self.step,
            **self.state.throughput.totals(),
            "replicas": self.strategy.num_replicas_in_sync,
            "parameters": sum(int(np.prod(weight.shape)) for weight in weights),
            "seed": self.config.train.seed,
            "versions": {
                "sact_tf": __version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "python": platform.python_version(),
            },
        }

    def _evaluated_before(self) -> dict[str, Any]:
        """What `metrics.json` says of an evaluation at this very step."""
        metrics = read_metrics(self.directory.metrics)
        return metrics if metrics.get("steps") == self.step else {}

    def _write_metrics(self, metrics: dict[str, Any]) -> None:
        if self.is_chief:
            atomic_write_json(self.directory.metrics, metrics)

    def _lock(self) -> None:
        lock_run(self.directory.lock, worker_index(self.strategy))

    def _check_sizes(self, trains: bool) -> None:
        examples, batch_size = self.data.num_examples("train"), self.config.train.batch_size
        if trains and examples < 1:
            raise UserError("data: the training split has no images")
        if trains and batch_size > examples:
            raise UserError(
                f"train.batch_size: expected at most the number of training images ({examples}), "
                f"received {batch_size}"
            )
        if self.data.num_examples("validation") < 1:
            raise UserError("data: the validation split has no images")
        replicas = self.strategy.num_replicas_in_sync
        check_shares(batch_size, replicas * self.config.train.gradient_accumulation)

    def _build_checkpoints(self) -> TrainingCheckpoints:
        state = self.state
        return TrainingCheckpoints(
            self.directory.checkpoints,
            step=state.step,
            keep=self.config.train.keep_checkpoints,
            writes=self.is_chief,
            say=self.progress.say,
            model=tracked_variables(self.model),
            optimizer=tracked_variables(state.optimizer),
            controller=state.controller,
            average=state.average and state.average.averages,
            throughput=state.throughput,
        )

    def _check_start(self, changes: dict[str, tuple[Any, Any]]) -> None:
        """A run that has begun does not start from anywhere else."""
        before, now = changes.get("train.warm_start", (None, None))
        if before is None and now is not None:
            raise UserError(
                f"train.warm_start: the run in --model_dir={self.directory.path} has begun without "
                f"one and goes on from its own checkpoint; expected null, received {now}. Give "
                "another --model_dir to start from there"
            )
        if now is not None:
            self.progress.say("train.warm_start has no effect: the run has begun from the old one")

    def _warm_start(self, path: str) -> None:
        uncovered = self.task.warm_start(self.model, path)
        if self.state.average is not None:
            self.state.average.restart()
        self.progress.say(f"warm start from {path}; not covered, hence new:")
        for place, reason in uncovered.items():
            self.progress.say(f"  {place}: {reason}")
        if not uncovered:
            self.progress.say("  nothing")

    def _after_interval(self, values: dict[str, float]) -> None:
        self._history.append(
            "train", self.step, {k: v for k, v in values.items() if k not in RATES}
        )
        self.progress.update(self.step, values)
        waits = values["input_wait_share"]
        # In the first interval the input pipeline is still filling.
        if waits > _MUCH_WAITING and self._intervals and not self._has_warned:
            self._has_warned = True
            self.progress.say(
                f"warning: training waits for data {waits:.0%} of its time; "
                "benchmarks/input_pipeline.py measures the input alone"
            )
        self._intervals += 1

    def _evaluate_if_due(self, every: int | None) -> None:
        due = every and self.step and self.step % every == 0 and self.step < self.config.train.steps
        if due and not self._history.has("validation", self.step):
            values = self._evaluate()
            self.progress.say(f"step {self.step}: {self.task.evaluation_line(values)}")

    def _evaluate(self) -> dict[str, float]:
        with self._averaged(), orbit_silenced():
            values = self._controller.evaluate()
        # The controller hands scalars back as arrays of NumPy.
        values = {name: np.asarray(value).item() for name, value in values.items()}
        if not self._history.has("validation", self.step):
            self._history.append("validation", self.step, values)
        if self.config.model.halting is not None:
            has_budget = self.config.train.flops_budget is not None
            for line in usage_remarks(self.evaluator.unit_usage, has_budget):
                self.progress.say(line)
        return values

    def _save_model(self) -> None:
        if self.is_chief:
            with self._averaged(), atomic_path(self.directory.model) as temporary:
                self.model.save(temporary)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """Context in which the model has the weights that are evaluated and saved."""
        average = self.state.average
        return contextlib.nullcontext() if average is None else average.applied()


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval
