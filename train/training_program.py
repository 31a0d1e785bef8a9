"""The flags and the `main` of the programs that train one model: `imagenet`, `coco`."""

from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

from sact_tf.training.config.training_config import TrainingConfig
from sact_tf.training.loop.perform import perform
from sact_tf.training.loop.progress import quiet_logging
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.directory import RunDirectory

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


def main(
    config_class: type[TrainingConfig],
    run_class: type[TrainingRun],
    summary: Callable[[dict[str, Any]], Iterator[str]],
) -> None:
    """Does what the flags say.

    Args:
        config_class: of the config.
        run_class: what trains and evaluates.
        summary: lines that say how good the model is and what it costs, from the content of
            `metrics.json`; what all programs say follows.
    """
    quiet_logging()
    directory = RunDirectory(_MODEL_DIR.value)
    config = directory.read_config(config_class, _CONFIG.value, _PARAMS_OVERRIDE.value)
    run = run_class(config, directory, trains=_MODE.value != "eval")
    metrics = perform(run, _MODE.value)
    if metrics is not None and run.is_chief:
        print("\n".join([*summary(metrics), *_spent(metrics)]))
        print(f"metrics: {directory.metrics}\nreport:  {directory.report}")


def _spent(metrics: dict[str, Any]) -> Iterator[str]:
    units = ", ".join(f"{name} {value:.2f}" for name, value in metrics["num_units"].items())
    yield f"units per block          {units}"
    if "ponder_localization_auc" in metrics:
        yield f"ponder localization AUC  {metrics['ponder_localization_auc']:.4f}"
    yield f"trained                  {metrics['steps']} steps, {metrics['train_seconds']:.0f} s"
