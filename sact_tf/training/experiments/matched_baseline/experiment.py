"""Trains the matched plain network of one ACT or SACT run."""

import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from sact_tf.command_line import next_steps
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import override_config
from sact_tf.training.experiments.matched_baseline.config import matched_config
from sact_tf.training.loop.train_and_evaluate import train_and_evaluate
from sact_tf.training.run_directory.directory import RunDirectory, read_metrics


def run_experiment(
    source: pathlib.Path, model_dir: str, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Trains and evaluates the network of `matched_config`.

    Args:
        source: run directory of the ACT or SACT network, evaluated.
        model_dir: of the new run.
        overrides: changes to its config, see `load_config`.

    Returns:
        The content of `metrics.json`.

    Raises:
        TrainingDiverged, Preempted, WorkerLost: see `train_and_evaluate`.
        UserError: the source, the settings or the data are unusable.
    """
    config = override_config(matched_config(source), overrides)
    print(f"{units_text(config)}; starts from {config.train.warm_start}", flush=True)
    of_source = read_metrics(RunDirectory(source).metrics)["flops_mean"]
    directory = RunDirectory(model_dir)
    metrics = train_and_evaluate(ClassificationTask(config), directory)
    print(
        f"accuracy {metrics['accuracy']:.4f} with {metrics['flops_mean']:.4g} FLOPs per image, "
        f"{metrics['flops_mean'] / of_source:.2f} of the source's (units are rounded)\n"
        f"metrics: {directory.metrics}"
    )
    print(next_steps([f"python -m train.summarize {shlex.join([str(source), model_dir])}"]))
    return metrics


def units_text(config: ClassificationConfig) -> str:
    """How deep the network is, in the form that the config says it."""
    model = config.model
    units = model.units or model.units_per_block
    if units is None:
        return f"depth {model.depth}"
    # Keras' stages are not blocks: a stage's last unit opens the next block.
    part = "stage" if model.network == "keras" else "block"
    return f"units per {part}: {', '.join(map(str, units)) if isinstance(units, list) else units}"
