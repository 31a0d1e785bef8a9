"""Trains and evaluates an image classifier.

    python -m train.imagenet --config=configs/quickstart.yaml --model_dir=runs/quickstart

A run that was stopped goes on from its last checkpoint when the same command is given again; then
`--config` may be left out. Exit codes: `train/exit_codes.py`.
"""

from collections.abc import Iterator
from typing import Any

from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.run import ClassificationRun
from train import program, training_program


def main(_):
    training_program.main(ClassificationConfig, ClassificationRun, _summary)


def _summary(metrics: dict[str, Any]) -> Iterator[str]:
    yield f"accuracy                 {metrics['accuracy']:.4f} of {metrics['num_examples']} images"
    if "recall@5" in metrics:
        yield f"recall@5                 {metrics['recall@5']:.4f}"
    yield f"cross entropy            {metrics['cross_entropy']:.4f}"
    yield f"FLOPs per image          {metrics['flops_mean']:.4g} +- {metrics['flops_std']:.3g}"
    yield f"share of plain network   {metrics['flops_ratio']:.4f} ({metrics['plain_flops']:.4g})"


if __name__ == "__main__":
    program.run(main)
