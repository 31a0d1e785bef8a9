"""A classification run: training with checkpoints and evaluations, and what is written."""

import platform
import time

import keras
import numpy as np
import orbit
import tensorflow as tf

import sact_tf
from sact_tf.errors import UserError
from sact_tf.files import atomic_path, atomic_write_json
from train import builders, configs, report
from train.checkpointing import TrainingCheckpoints
from train.classification_evaluator import ClassificationEvaluator
from train.classification_trainer import ClassificationTrainer
from train.history import History, read_history
from train.learning_rate import LearningRate
from train.model_loading import load_classifier
from train.progress import Progress, orbit_silenced
from train.run_directory import RunDirectory
from train.unit_usage import dead_units, usage_lines


class ClassificationRun:
    """Model, data and bookkeeping of one `--model_dir`, restored to its newest checkpoint.

    Args:
        config: resolved.
        directory: where everything is written.
        trains: False for an evaluation, which needs a checkpoint.
    """

    def __init__(self, config: configs.ClassificationConfig, directory: RunDirectory, trains: bool):
        changes = directory.adopt(config, read_only=True)
        if config.runtime.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.config = config
        self.directory = directory
        self.data = builders.build_data(config.data)
        _check_sizes(config, self.data, trains)
        self.model = builders.build_model(config, self.data)
        self._learning_rate = LearningRate(config.train.learning_rate, config.train.steps)
        self._optimizer = builders.build_optimizer(config.train, self._learning_rate, self.model)
        self._budget = builders.build_controller(config, self.model, self.data)
        self._step = orbit.utils.create_global_step()
        self._train_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.checkpoints = TrainingCheckpoints(
            directory.checkpoints,
            model=self.model,
            optimizer=self._optimizer,
            step=self._step,
            train_seconds=self._train_seconds,
            controller=self._budget,
            keep=config.train.keep_checkpoints,
        )
        restored = self.checkpoints.restore()
        self._progress = Progress(config.train.steps, self.step)
        if restored:
            self._progress.say(f"restored {restored}")
        elif not trains:
            raise UserError(f"--model_dir={directory.path}: nothing to evaluate, no checkpoint")
        elif config.train.warm_start:
            self._warm_start(config.train.warm_start)
        if trains:
            directory.adopt(config)
            for change in changes:
                self._progress.say(f"going on with a changed config: {change}")
        self._history = History(directory.history, self.step if trains else None)
        self._evaluator = self._build_evaluator()
        self._trainer = self._build_trainer() if trains else None
        self._controller = orbit.Controller(
            global_step=self._step,
            trainer=self._trainer,
            evaluator=self._evaluator,
            train_actions=[self._after_interval],
            steps_per_loop=lambda step: _next_multiple(step, config.train.log_every) - step,
            summary_dir=str(directory.events / "train"),
            eval_summary_dir=str(directory.events / "validation"),
        )

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self._step)

    def train(self, evaluates: bool) -> None:
        """Trains to the last step; checkpoints on the way.

        Args:
            evaluates: evaluate every `evaluation.every` steps (not at the end).

        Raises:
            TrainingDiverged: see `ClassificationTrainer`; the newest checkpoint is the last good
                one.
        """
        last, every = self.config.train.steps, self.config.evaluation.every if evaluates else None
        if self.step >= last:
            self._progress.say(f"all {last} steps are done")
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
        self._progress.close()
        self._save_model()
        if not evaluates:
            atomic_write_json(self.directory.metrics, self._common_metrics())

    def evaluate(self) -> dict:
        """Evaluates the current weights; writes metrics, report and pictures.

        Returns:
            The content of `metrics.json`.
        """
        self._progress.say(f"evaluating on {self.data.num_examples('validation')} held-out images")
        metrics = {**_nested(self._evaluate()), **self._common_metrics()}
        metrics["plain_flops"] = self._evaluator.plain_flops
        metrics["unit_usage"] = self._evaluator.unit_usage
        if self.config.model.halting is not None:
            metrics["dead_units"] = dead_units(self._evaluator.unit_usage)
        atomic_write_json(self.directory.metrics, metrics)
        report.write_report(
            self.directory,
            config=self.config,
            metrics=metrics,
            history=read_history(self.directory.history),
            samples=self._evaluator.samples,
            flops=self._evaluator.flops,
            class_names=self.model.class_names,
        )
        return metrics

    def _warm_start(self, path: str) -> None:
        uncovered = self.model.warm_start(load_classifier(path))
        self._progress.say(f"warm start from {path}; not covered, hence new:")
        for line in uncovered or ["nothing"]:
            self._progress.say(f"  {line}")

    def _build_trainer(self) -> ClassificationTrainer:
        train = self.config.train
        return ClassificationTrainer(
            self.model,
            self._optimizer,
            self._learning_rate,
            self.data.train(train.batch_size, train.seed, start_step=self.step),
            self._step,
            train.label_smoothing,
            self._budget,
        )

    def _build_evaluator(self) -> ClassificationEvaluator:
        return ClassificationEvaluator(
            self.model,
            self.data.evaluation(self.config.evaluation.batch_size),
            self.data.num_examples("validation"),
            self.config.evaluation.pictures,
        )

    def _after_interval(self, values) -> None:
        self._history.append("train", self.step, dict(values))
        self._progress.update(self.step, values)

    def _evaluate_if_due(self, every: int | None) -> None:
        due = every and self.step and self.step % every == 0 and self.step < self.config.train.steps
        if due and not self._history.has("validation", self.step):
            start = time.monotonic()
            values = self._evaluate()
            self._progress.pause(time.monotonic() - start)
            self._progress.say(
                f"step {self.step}: held-out accuracy {values['accuracy']:.4f}, "
                f"cross entropy {values['cross_entropy']:.4f}, "
                f"FLOPs {values['flops_ratio']:.1%} of the plain network's"
            )

    def _evaluate(self) -> dict[str, float]:
        with orbit_silenced():
            values = self._controller.evaluate()
        # The controller hands scalars back as arrays of NumPy.
        values = {name: np.asarray(value).item() for name, value in values.items()}
        if not self._history.has("validation", self.step):
            self._history.append("validation", self.step, values)
        if self.config.model.halting is not None:
            self._watch_units()
        return values

    def _watch_units(self) -> None:
        usage = self._evaluator.unit_usage
        for line in usage_lines(usage):
            self._progress.say(line)
        if dead := dead_units(usage):
            self._progress.say(
                f"warning: no position of any held-out image reached {', '.join(dead)}; a lower "
                "ponder_weight or halting_bias keeps units alive"
            )

    def _common_metrics(self) -> dict:
        model = self.config.model
        weights = self.model.trainable_variables
        return {
            "steps": self.step,
            "train_seconds": round(float(self._train_seconds), 3),
            "parameters": sum(int(np.prod(weight.shape)) for weight in weights),
            "halting": model.halting,
            "ponder_weight": self._ponder_weight(),
            "flops_budget": self.config.train.flops_budget,
            "seed": self.config.train.seed,
            "corrupt_images_skipped": len(getattr(self.data, "corrupt_images", ())),
            "versions": {
                "sact_tf": sact_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "python": platform.python_version(),
            },
        }

    def _ponder_weight(self) -> float | None:
        if self._budget is not None:
            return float(self._budget.ponder_weight)
        return self.config.model.ponder_weight

    def _save_model(self) -> None:
        with atomic_path(self.directory.model) as temporary:
            self.model.save(temporary)


def _check_sizes(config: configs.ClassificationConfig, data, trains: bool) -> None:
    examples = data.num_examples("train")
    if trains and config.train.batch_size > examples:
        raise UserError(
            f"train.batch_size: expected at most the number of training images ({examples}), "
            f"received {config.train.batch_size}"
        )
    if data.num_examples("validation") < 1:
        raise UserError("data: the validation split has no images")


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
