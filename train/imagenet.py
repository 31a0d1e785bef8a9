"""Trains and evaluates an image classifier.

    python -m train.imagenet --config=configs/quickstart_plain.yaml \
        --model_dir=runs/quickstart/plain
    python -m train.imagenet --config=configs/quickstart.yaml --model_dir=runs/quickstart

A run that was stopped goes on from its last checkpoint when the same command is given again; then
`--config` may be left out. Exit codes: `train/exit_codes.py`.
"""

from absl import flags

from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.loop.train_and_evaluate import train_and_evaluate
from sact_tf.training.run_directory.directory import RunDirectory
from train import program

define_flags = program.define_run_flags


def main(_):
    given = flags.FLAGS
    directory = RunDirectory(given.model_dir)
    config = directory.read_config(ClassificationConfig, given.config, given.params_override)
    then = program.commands_with(
        given.model_dir,
        "predict --images=new/",
        "ponder_maps --images=new/ --output_dir=maps",
        "export --output_dir=export/classifier/1",
    )
    train_and_evaluate(ClassificationTask(config), directory, given.mode, then)


if __name__ == "__main__":
    program.run(main, define_flags, goes_on=True)
