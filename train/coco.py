"""Trains and evaluates an object detector: Faster R-CNN on an adaptive feature extractor.

    python -m train.coco --config=configs/coco/quickstart.yaml --model_dir=runs/detection

A run that was stopped goes on from its last checkpoint when the same command is given again; then
`--config` may be left out. Besides what every run writes, `--model_dir` gets `predictions.json`,
the held-out detections in COCO's result format. Exit codes: `train/exit_codes.py`.
"""

from absl import flags

from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.task import DetectionTask
from sact_tf.training.loop.train_and_evaluate import train_and_evaluate
from sact_tf.training.run_directory.directory import RunDirectory
from train import program

define_flags = program.define_run_flags


def main(_):
    given = flags.FLAGS
    directory = RunDirectory(given.model_dir)
    config = directory.read_config(DetectionConfig, given.config, given.params_override)
    then = program.commands_with(
        given.model_dir,
        "detect --images='photos/*.jpg' --output_dir=found",
        "export --output_dir=export/detector/1",
    )
    train_and_evaluate(DetectionTask(config), directory, given.mode, then)


if __name__ == "__main__":
    program.run(main, define_flags, goes_on=True)
