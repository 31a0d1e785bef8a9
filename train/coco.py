"""Trains and evaluates an object detector: Faster R-CNN on an adaptive feature extractor.

    python -m train.coco --config=configs/coco/quickstart.yaml --model_dir=runs/detection

A run that was stopped goes on from its last checkpoint when the same command is given again; then
`--config` may be left out. Besides what every run writes, `--model_dir` gets `predictions.json`,
the held-out detections in COCO's result format. Exit codes: `train/exit_codes.py`.
"""

from collections.abc import Iterator
from typing import Any

from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.run import DetectionRun
from train import program, training_program


def main(_):
    training_program.main(DetectionConfig, DetectionRun, _summary)


def _summary(metrics: dict[str, Any]) -> Iterator[str]:
    by_size = [key for key in ("AP_small", "AP_medium", "AP_large") if key in metrics]
    for key in ("mAP", "AP50", "AP75", *by_size):
        if key in metrics:
            yield f"{key:<24} {metrics[key]:.4f}"
    yield f"held-out images          {metrics['num_examples']}"
    mean, spread = metrics["extractor_flops_mean"], metrics["extractor_flops_std"]
    yield f"extractor FLOPs          {mean:.4g} +- {spread:.3g}"
    yield (
        f"share of plain extractor {metrics['flops_ratio']:.4f} +- {metrics['flops_ratio_std']:.3g}"
        f" ({metrics['plain_extractor_flops_mean']:.4g})"
    )
    if "resnet101_flops_ratio" in metrics:
        yield f"share of ResNet-101      {metrics['resnet101_flops_ratio']:.4f}"


if __name__ == "__main__":
    program.run(main)
