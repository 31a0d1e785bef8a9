"""A classification run: what is trained, evaluated and reported."""

from typing import Any

from sact_tf.training.classification import builders, report
from sact_tf.training.classification.evaluator import ClassificationEvaluator
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.trainer import ClassificationTrainer
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.history import read_history


class ClassificationRun(TrainingRun):
    """A run of a `ClassificationConfig`."""

    shown = ("loss", "cross_entropy", "ponder_loss", "weight_decay", "accuracy", "flops_ratio",
             "ponder_weight")  # fmt: skip

    def build_data(self):
        return builders.build_data(self.config.data)

    def build_model(self):
        return builders.build_model(self.config, self.data)

    def build_controller(self):
        return builders.build_controller(self.config, self.model, self.data)

    def build_trainer(self, **kwargs):
        return ClassificationTrainer(
            image_size=builders.image_size(self.data),
            label_smoothing=self.config.train.label_smoothing,
            **kwargs,
        )

    def build_evaluator(self):
        return ClassificationEvaluator(
            self.model,
            self.data.evaluation(self.config.evaluation.batch_size),
            self.data.num_examples("validation"),
            self.config.evaluation.pictures,
        )

    def warm_start(self, path):
        return self.model.warm_start(load_classifier(path))

    def evaluation_line(self, values):
        return (
            f"held-out accuracy {values['accuracy']:.4f}, "
            f"cross entropy {values['cross_entropy']:.4f}, "
            f"FLOPs {values['flops_ratio']:.1%} of the plain network's"
        )

    def own_metrics(self, evaluated: bool) -> dict[str, Any]:
        metrics = {"flops_budget": self.config.train.flops_budget}
        if evaluated:
            metrics["plain_flops"] = self.evaluator.plain_flops
        return metrics

    def write_report(self, metrics):
        report.write_report(
            self.directory,
            config=self.config,
            metrics=metrics,
            history=read_history(self.directory.history),
            samples=self.evaluator.samples,
            flops=self.evaluator.flops,
            class_name=self.model.class_name,
        )
