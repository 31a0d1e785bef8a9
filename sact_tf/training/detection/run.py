"""A detection run: what is trained, evaluated and reported."""

from typing import Any

from sact_tf.files import atomic_write_text
from sact_tf.training.detection import builders, report
from sact_tf.training.detection.evaluator import DetectionEvaluator
from sact_tf.training.detection.loading import load_detector_or_classifier
from sact_tf.training.detection.trainer import DetectionTrainer
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.history import read_history


class DetectionRun(TrainingRun):
    """A run of a `DetectionConfig`."""

    shown = ("loss", "rpn_score", "rpn_box", "class", "box", "ponder_loss")

    def build_data(self):
        return builders.build_data(self.config.data)

    def build_model(self):
        return builders.build_model(self.config, self.data)

    def build_trainer(self, **kwargs):
        return DetectionTrainer(**kwargs)

    def build_evaluator(self):
        return DetectionEvaluator(
            self.model,
            self.data,
            self.config.evaluation.batch_size,
            self.config.evaluation.pictures,
            builders.resnet101_flops(self.config.model, self.model),
        )

    def warm_start(self, path):
        return self.model.warm_start(load_detector_or_classifier(path))

    def evaluation_line(self, values):
        return (
            f"held-out mAP {values.get('mAP', float('nan')):.4f}, "
            f"AP50 {values.get('AP50', float('nan')):.4f}, "
            f"extractor FLOPs {values['flops_ratio']:.1%} of the plain extractor's"
        )

    def own_metrics(self, evaluated: bool) -> dict[str, Any]:
        if not evaluated:
            return {}
        return {"plain_extractor_flops_mean": float(self.evaluator.plain_flops.mean())}

    def write_report(self, metrics):
        atomic_write_text(self.directory.path / "predictions.json", self.evaluator.predictions)
        report.write_report(
            self.directory,
            config=self.config,
            metrics=metrics,
            history=read_history(self.directory.history),
            samples=self.evaluator.samples,
            class_names=self.data.class_names,
            flops=self.evaluator.flops,
        )
