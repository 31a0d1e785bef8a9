"""Runs a whole FLOPs-against-accuracy experiment (figure 7 of the paper).

    python -m train.tradeoff --config=configs/tradeoff_quickstart.yaml

Trains the plain network, ACT and SACT for the listed tau from it, their matched baselines, and
evaluates all at the listed image sizes. Given again, the command goes on where it was stopped;
finished runs are not trained again. Writes `tradeoff.csv`, `units_per_block.md`, `tradeoff.png`,
`report.html` and `metrics.json` into `--model_dir`, the runs themselves into `runs/` there.
"""

import pathlib
import time

import tensorflow as tf
from absl import flags

from sact_tf.errors import UserError
from sact_tf.files import atomic_write_text
from sact_tf.training.config.loading import dump_config, load_config
from sact_tf.training.errors import Preempted, TrainingDiverged
from sact_tf.training.experiments.tradeoff.config import TradeoffConfig, planned_runs
from sact_tf.training.experiments.tradeoff.experiment import Experiment
from sact_tf.training.experiments.tradeoff.results import write_results
from train import program

_CONFIG = flags.DEFINE_string("config", None, "YAML file of the experiment", required=True)
_PARAMS_OVERRIDE = flags.DEFINE_multi_string(
    "params_override",
    [],
    "changes to the config, such as base.train.steps=100,act.ponder_weights=[]",
)
_MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "where everything is written; default: runs/ and the name of the config"
)
_SEEDS = flags.DEFINE_integer("seeds", None, "overrides `seeds` of the config", lower_bound=1)


def main(_):
    overrides = list(_PARAMS_OVERRIDE.value)
    if _SEEDS.value is not None:
        overrides.append(f"seeds={_SEEDS.value}")
    config = load_config(TradeoffConfig, _CONFIG.value, overrides)
    default_dir = pathlib.Path("runs") / pathlib.Path(_CONFIG.value).stem
    # A new function for each network is what this program is about.
    tf.get_logger().setLevel("ERROR")
    directory = pathlib.Path(_MODEL_DIR.value or default_dir).expanduser()
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--model_dir: {directory} is a file, expected a directory")
    settings = dump_config(config)
    atomic_write_text(directory / "config.yaml", settings)
    experiment = Experiment(config, directory)
    runs = planned_runs(config)
    rows, start = [], time.monotonic()
    for number, run in enumerate(runs, start=1):
        minutes = (time.monotonic() - start) / 60
        print(f"[{number}/{len(runs)}, {minutes:.0f} min] {run.name}", flush=True)
        try:
            results = experiment.perform(run)
        except (TrainingDiverged, Preempted) as error:
            raise type(error)(f"{run.name}: {error}") from None
        rows += results
        for row in results:
            print(
                f"  {row['image_size']} px: accuracy {row['accuracy']:.4f}, "
                f"{row['flops_mean'] / 1e6:.1f} ± {row['flops_std'] / 1e6:.1f} MFLOPs",
                flush=True,
            )
    write_results(directory, rows, settings)
    print(f"table:  {directory / 'tradeoff.csv'}\nreport: {directory / 'report.html'}")


if __name__ == "__main__":
    program.run(main)
