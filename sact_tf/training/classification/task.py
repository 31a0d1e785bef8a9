"""What a classification run trains, evaluates and reports."""

from collections.abc import Iterable, Iterator
from typing import Any

from sact_tf.budget import BudgetController
from sact_tf.budget.calibration import TOLERANCE
from sact_tf.data import ImageClassificationData
from sact_tf.models import ImageClassifier
from sact_tf.training.classification import builders, report
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.evaluator import ClassificationEvaluator
from sact_tf.training.classification.loading import load_classifier, load_keras_application
from sact_tf.training.classification.trainer import ClassificationTrainer
from sact_tf.training.loop.preemption import Preemption
from sact_tf.training.loop.state import TrainingState
from sact_tf.training.loop.task import Task
from sact_tf.training.reports.standard_error import standard_error
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.plain_run import beside_plain_run


class ClassificationTask(Task):
    """Trains an `ImageClassifier` as a `ClassificationConfig` says."""

    config: ClassificationConfig
    shown = ("loss", "cross_entropy", "ponder_loss", "weight_decay", "accuracy", "flops_ratio",
             "ponder_weight")  # fmt: skip

    def build_data(self) -> ImageClassificationData:
        return builders.build_data(self.config.data)

    def build_model(self, data: ImageClassificationData) -> ImageClassifier:
        return builders.build_model(self.config, data)

    def build_controller(
        self, model: ImageClassifier, data: ImageClassificationData
    ) -> BudgetController | None:
        return builders.build_controller(self.config, model, data)

    def build_trainer(
        self,
        state: TrainingState,
        batches: Iterable[Any],
        data: ImageClassificationData,
        preemption: Preemption | None = None,
    ) -> ClassificationTrainer:
        size = builders.image_size(data)
        return ClassificationTrainer(self.config.train, state, batches, size, preemption)

    def build_evaluator(
        self, model: ImageClassifier, data: ImageClassificationData
    ) -> ClassificationEvaluator:
        return ClassificationEvaluator(
            model,
            data.evaluation(self.config.evaluation.batch_size),
            data.num_examples("validation"),
            self.config.evaluation.pictures,
        )

    def load_source(self, path: str) -> ImageClassifier:
        return load_keras_application(path) or load_classifier(path)

    def evaluation_line(self, values: dict[str, float]) -> str:
        return (
            f"held-out accuracy {values['accuracy']:.4f}, "
            f"cross entropy {values['cross_entropy']:.4f}, "
            f"FLOPs {values['flops_ratio']:.1%} of the plain network's"
        )

    def summary(self, metrics: dict[str, Any]) -> Iterator[str]:
        images = metrics["num_examples"]
        beside = beside_plain_run(metrics, "accuracy")
        accuracy = metrics["accuracy"]
        of_images = f"of {images} images, standard error {standard_error(accuracy, images):.4f}"
        yield f"accuracy                 {accuracy:.4f} {of_images}{beside}"
        if "recall@5" in metrics:
            yield f"recall@5                 {metrics['recall@5']:.4f}"
        yield f"cross entropy            {metrics['cross_entropy']:.4f}"
        yield f"FLOPs per image          {metrics['flops_mean']:.4g} +- {metrics['flops_std']:.3g}"
        if metrics["halting"] is not None:
            yield from _share_of_plain(metrics)

    def training_metrics(self) -> dict[str, Any]:
        return {"flops_budget": self.config.train.flops_budget}

    def evaluation_metrics(self, evaluator: ClassificationEvaluator) -> dict[str, Any]:
        return {"plain_flops": evaluator.plain_flops}

    def write_report(
        self,
        directory: RunDirectory,
        metrics: dict[str, Any],
        evaluator: ClassificationEvaluator,
    ) -> None:
        report.write_report(directory, self.config, metrics, evaluator)


def _share_of_plain(metrics: dict[str, Any]) -> Iterator[str]:
    share, budget, plain = (metrics[key] for key in ("flops_ratio", "flops_budget", "plain_flops"))
    of_budget = "" if budget is None else f", budget {budget:g}"
    yield f"share of plain network   {share:.4f}{of_budget} ({plain:.4g})"
    if budget is not None and abs(share - budget) > TOLERANCE:
        yield (
            f"warning: FLOPs of {share:.3f} miss the budget of {budget:g}: train longer, or shift "
            "the trained halting by sact_tf.budget.calibrate"
        )
