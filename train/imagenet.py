"""Trains and evaluates an image classifier.

    python -m train.imagenet --config=configs/quickstart.yaml --model_dir=runs/quickstart

A run that was stopped goes on from its last checkpoint when the same command is given again; then
`--config` may be left out. Exit codes: 0 done, 1 training diverged (NaN), 2 a mistake in the
settings or the data.
"""

import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import flags

from sact_tf.data.errors import unwrap
from train import config_checks, configs, program
from train.classification_run import ClassificationRun
from train.classification_trainer import TrainingDiverged
from train.progress import quiet_logging
from train.run_directory import RunDirectory

_CONFIG = flags.DEFINE_string(
    "config", None, "YAML file (see configs/); default: the config of the run in --model_dir"
)
_PARAMS_OVERRIDE = flags.DEFINE_multi_string(
    "params_override",
    [],
    "changes to the config: train.steps=100,model.halting=null,data.skip_corrupt=true; may be given"
    " several times",
)
_MODE = flags.DEFINE_enum(
    "mode", "train_and_eval", ["train", "eval", "train_and_eval"], "what to do"
)
_MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "directory of the run: checkpoints, metrics, report", required=True
)

_DIVERGED_CODE = 1


def main(_):
    quiet_logging()
    directory = RunDirectory(_MODEL_DIR.value)
    config = directory.read_config(
        configs.ClassificationConfig, _CONFIG.value, _PARAMS_OVERRIDE.value, config_checks.resolve
    )
    try:
        _run(config, directory)
    except tf.errors.OpError as error:
        # A damaged image is met by the step that consumes it.
        if user_error := unwrap(error):
            raise user_error from None
        raise


def _run(config: configs.ClassificationConfig, directory: RunDirectory) -> None:
    trains = _MODE.value != "eval"
    run = ClassificationRun(config, directory, trains)
    if trains:
        try:
            run.train(evaluates=_MODE.value == "train_and_eval")
        except TrainingDiverged as error:
            latest = run.checkpoints.latest
            good = f"the last good checkpoint is {latest}" if latest else "there is no checkpoint"
            print(f"error: training stopped: {error}; {good}", file=sys.stderr)
            sys.exit(_DIVERGED_CODE)
    if _MODE.value != "train":
        print("\n".join(_summary(run.evaluate())))
        print(f"metrics: {directory.metrics}\nreport:  {directory.report}")


def _summary(metrics: dict[str, Any]) -> Iterator[str]:
    yield f"accuracy                 {metrics['accuracy']:.4f} of {metrics['num_examples']} images"
    if "recall@5" in metrics:
        yield f"recall@5                 {metrics['recall@5']:.4f}"
    yield f"cross entropy            {metrics['cross_entropy']:.4f}"
    yield f"FLOPs per image          {metrics['flops_mean']:.4g} +- {metrics['flops_std']:.3g}"
    yield f"share of plain network   {metrics['flops_ratio']:.4f} ({metrics['plain_flops']:.4g})"
    units = ", ".join(f"{name} {value:.2f}" for name, value in metrics["num_units"].items())
    yield f"units per block          {units}"
    if "ponder_localization_auc" in metrics:
        yield f"ponder localization AUC  {metrics['ponder_localization_auc']:.4f}"
    yield f"trained                  {metrics['steps']} steps, {metrics['train_seconds']:.0f} s"


if __name__ == "__main__":
    program.run(main)
