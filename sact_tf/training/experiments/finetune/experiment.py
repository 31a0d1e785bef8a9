"""Adapts a pretrained network to a folder of images and a compute budget."""

import pathlib
import shlex
from typing import Any

import keras

from sact_tf import paths
from sact_tf.command_line import next_steps
from sact_tf.serving.export import export
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.experiments.finetune.config import (
    FinetuneOptions,
    finetune_configs,
    listed_images,
)
from sact_tf.training.loop.inference_time import fastest_execution
from sact_tf.training.loop.train_and_evaluate import train_and_evaluate, train_once
from sact_tf.training.run_directory.directory import RunDirectory


def run_experiment(options: FinetuneOptions, model_dir: str) -> dict[str, Any]:
    """Trains the head, then everything with halting, evaluates and exports; goes on where it was.

    Args:
        options: see there.
        model_dir: directory of the run with halting. `head/` in it is the run of the head,
            `export/STEPS` what is served.

    Returns:
        The content of `metrics.json`.

    Raises:
        TrainingDiverged, Preempted: see `train_and_evaluate`.
        UserError: the options, the images or the weights are unusable, or halting cannot meet the
            budget.
    """
    directory = RunDirectory(model_dir)
    head_directory = RunDirectory(directory.path.absolute() / "head")
    head, config = finetune_configs(options, head_directory.path)
    directory.compare(config)  # A directory of another run is refused before anything is trained.

    def identity():
        return builders.build_data(config.data).identity()

    if head_directory.finished_metrics(head, identity) is None:
        _check_budget(config)
        print(f"the head, {head.train.steps} steps", flush=True)
        train_once(ClassificationTask(head), head_directory, identity)
    print(f"all layers with halting, {config.train.steps} steps", flush=True)
    metrics = directory.finished_metrics(config, identity)
    if metrics is None:
        task = ClassificationTask(config)
        metrics = train_and_evaluate(task, directory, next_commands=())
    else:
        print("  trained before", flush=True)
    exported = _export(directory, metrics)
    print(f"model:   {directory.model}\nexport:  {exported}")
    served = shlex.quote(str(exported.parent))
    commands = [
        f"python -m train.predict --model={shlex.quote(model_dir)} --images=new/",
        f"python -m sact_tf.serving.rest --export_dir={served} --port=8501",
    ]
    print(next_steps(commands), flush=True)
    return metrics


def _check_budget(config: ClassificationConfig) -> None:
    """Refuses a budget that halting cannot meet before the head is trained, not after it."""
    if config.train.flops_budget is None:
        return
    data = listed_images(config)
    model = builders.build_model(config, data)
    builders.check_flops_budget(model, data, config.train.flops_budget, "--flops_budget")
    keras.backend.clear_session()


def _export(directory: RunDirectory, metrics: dict[str, Any]) -> pathlib.Path:
    """Exports the trained model in the execution that was fastest for one image."""
    output = directory.path / "export" / str(metrics["steps"])
    if output.exists():
        return output
    execution = fastest_execution(metrics)
    print(f"exporting, execution {execution or 'as trained'}", flush=True)
    with paths.writing("model_dir", output):
        export(load_classifier(directory.path), output, execution=execution)
    return output
