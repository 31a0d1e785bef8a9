"""What a detection run trains, evaluates and reports."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras

from sact_tf.detection import FasterRCNN
from sact_tf.detection.data import DetectionData
from sact_tf.files import atomic_write_text
from sact_tf.training.classification.loading import load_keras_application
from sact_tf.training.detection import builders, report
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.evaluator import DetectionEvaluator
from sact_tf.training.detection.loading import load_detector_or_classifier
from sact_tf.training.detection.trainer import DetectionTrainer
from sact_tf.training.loop.preemption import Preemption
from sact_tf.training.loop.state import TrainingState
from sact_tf.training.loop.task import Task
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.plain_run import beside_plain_run


class DetectionTask(Task):
    """Trains a `FasterRCNN` as a `DetectionConfig` says."""

    config: DetectionConfig
    shown = ("loss", "rpn_score", "rpn_box", "class", "box", "ponder_loss")

    def build_data(self) -> DetectionData:
        return builders.build_data(self.config.data)

    def build_model(self, data: DetectionData) -> FasterRCNN:
        return builders.build_model(self.config, data)

    def build_trainer(
        self,
        state: TrainingState,
        batches: Iterable[Any],
        data: DetectionData,
        preemption: Preemption | None = None,
    ) -> DetectionTrainer:
        return DetectionTrainer(self.config.train, state, batches, preemption)

    def build_evaluator(self, model: FasterRCNN, data: DetectionData) -> DetectionEvaluator:
        return DetectionEvaluator(
            model,
            data,
            self.config.evaluation.batch_size,
            self.config.evaluation.pictures,
            builders.resnet101_flops(self.config.model, model),
        )

    def load_source(self, path: str) -> keras.Model:
        return load_keras_application(path) or load_detector_or_classifier(path)

    def evaluation_line(self, values: dict[str, float]) -> str:
        return (
            f"held-out mAP {values.get('mAP', float('nan')):.4f}, "
            f"AP50 {values.get('AP50', float('nan')):.4f}, "
            f"extractor FLOPs {values['flops_ratio']:.1%} of the plain extractor's"
        )

    def summary(self, metrics: dict[str, Any]) -> Iterator[str]:
        for key in ("mAP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"):
            if key in metrics:
                yield f"{key:<24} {metrics[key]:.4f}{beside_plain_run(metrics, key)}"
        yield f"held-out images          {metrics['num_examples']}"
        mean, spread = metrics["extractor_flops_mean"], metrics["extractor_flops_std"]
        yield f"extractor FLOPs          {mean:.4g} +- {spread:.3g}"
        if metrics["halting"] is not None:
            ratio, spread = metrics["flops_ratio"], metrics["flops_ratio_std"]
            plain = metrics["plain_extractor_flops_mean"]
            yield f"share of plain extractor {ratio:.4f} +- {spread:.3g} ({plain:.4g})"
        if "resnet101_flops_ratio" in metrics:
            yield f"share of ResNet-101      {metrics['resnet101_flops_ratio']:.4f}"

    def evaluation_metrics(self, evaluator: DetectionEvaluator) -> dict[str, Any]:
        return {"plain_extractor_flops_mean": float(evaluator.plain_flops.mean())}

    def write_report(
        self, directory: RunDirectory, metrics: dict[str, Any], evaluator: DetectionEvaluator
    ) -> None:
        atomic_write_text(directory.path / "predictions.json", evaluator.predictions)
        report.write_report(directory, self.config, metrics, evaluator)
