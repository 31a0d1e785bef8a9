"""Trains plain and adaptive detectors and puts FLOPs and precision side by side (table 1).

    python -m train.detection_table --config=configs/coco/table_quickstart.yaml

The deep plain detector is trained first; ACT and SACT start from it. Given again, the command goes
on where it was stopped; finished runs are not trained again. Writes `table.md`, `table.csv`,
`report.html` and `metrics.json` into `--model_dir`, the runs themselves into `runs/` there.
"""

import pathlib

from absl import flags

from sact_tf.paths import output_directory
from sact_tf.training.config.loading import load_config
from sact_tf.training.experiments.detection_table.config import DetectionTableConfig
from sact_tf.training.experiments.detection_table.experiment import run_experiment
from train import program


def define_flags():
    flags.DEFINE_string("config", None, "YAML file of the table", required=True)
    flags.DEFINE_multi_string(
        "params_override", [], "changes to the config, such as base.train.steps=100,sact=[0.01]"
    )
    flags.DEFINE_string(
        "model_dir", None, "where everything is written; default: runs/ and the name of the config"
    )


def main(_):
    args = flags.FLAGS
    config = load_config(DetectionTableConfig, args.config, args.params_override)
    directory = args.model_dir or pathlib.Path("runs", pathlib.Path(args.config).stem)
    run_experiment(config, output_directory("model_dir", directory))


if __name__ == "__main__":
    program.run(main, define_flags, goes_on=True)
