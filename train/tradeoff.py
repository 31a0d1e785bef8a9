"""Runs a whole FLOPs-against-accuracy experiment (figure 7 of the paper).

    python -m train.tradeoff --config=configs/tradeoff_quickstart.yaml

Trains the plain network, ACT and SACT for the listed tau from it, their matched baselines, and
evaluates all at the listed image sizes. Given again, the command goes on where it was stopped;
finished runs are not trained again. Writes `tradeoff.csv`, `units_per_block.md`, `tradeoff.png`,
`report.html` and `metrics.json` into `--model_dir`, the runs themselves into `runs/` there.
"""

import pathlib

from absl import flags

from sact_tf.paths import output_directory
from sact_tf.training.config.loading import load_config
from sact_tf.training.experiments.tradeoff.config import TradeoffConfig
from sact_tf.training.experiments.tradeoff.experiment import run_experiment
from train import program


def define_flags():
    flags.DEFINE_string("config", None, "YAML file of the experiment", required=True)
    flags.DEFINE_multi_string(
        "params_override",
        [],
        "changes to the config, such as base.train.steps=100,act.ponder_weights=[]",
    )
    flags.DEFINE_string(
        "model_dir", None, "where everything is written; default: runs/ and the name of the config"
    )
    flags.DEFINE_integer("seeds", None, "overrides `seeds` of the config", lower_bound=1)


def main(_):
    args = flags.FLAGS
    overrides = list(args.params_override)
    if args.seeds is not None:
        overrides.append(f"seeds={args.seeds}")
    config = load_config(TradeoffConfig, args.config, overrides)
    directory = args.model_dir or pathlib.Path("runs", pathlib.Path(args.config).stem)
    run_experiment(config, output_directory("model_dir", directory))


if __name__ == "__main__":
    program.run(main, define_flags, goes_on=True)
