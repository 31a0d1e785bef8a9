"""Does training wait for its data? The input alone, the training step alone, and both together.

    python -m benchmarks.input_pipeline --config=configs/quickstart.yaml --steps=50 --json=out.json

`input`: batches drawn as fast as they come. `step`: training steps on one batch that stands in
memory. `training`: both, as the training program has it, with the share of the time in which the
step waited for the next batch. Where `input` is not well above `step`, training waits.
"""

import tempfile
import time

from absl import flags

from benchmarks import measure
from sact_tf import command_line
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import load_config
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.task import DetectionTask
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.directory import RunDirectory

_TASKS = {
    "imagenet": (ClassificationConfig, ClassificationTask),
    "coco": (DetectionConfig, DetectionTask),
}
_WARM_UP = 3


def define_flags():
    flags.DEFINE_string("config", None, "Of a training run.", required=True)
    flags.DEFINE_multi_string("params_override", [], "Changes to the config.")
    flags.DEFINE_enum("program", "imagenet", list(_TASKS), "What the config is of.")
    flags.DEFINE_integer("steps", 50, "Steps that count.", lower_bound=2)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(_):
    given = flags.FLAGS
    config_class, task_class = _TASKS[given.program]
    config = load_config(config_class, given.config, given.params_override)
    with tempfile.TemporaryDirectory() as directory:
        run = TrainingRun(task_class(config), RunDirectory(directory))
        examples = config.train.batch_size
        rows = {
            "input": {"examples_per_second": examples * _input_rate(run, given.steps)},
            "step": _training(run, _one_batch(run), given.steps),
            "training": _training(run, run.batches(), given.steps),
        }
    for name, row in rows.items():
        wait = row.get("input_wait_share")
        shown = "" if wait is None or name == "step" else f"   waits {wait:.1%} of the time"
        print(f"{name:10} {row['examples_per_second']:10.1f} examples/s{shown}")
    measure.write_json(
        given.json,
        [{"case": name, **row} for name, row in rows.items()],
        config=given.config,
        batch_size=examples,
    )


def _input_rate(run, steps):
    """Steps' worth of batches per second."""
    parts = run.config.train.gradient_accumulation
    iterator = iter(run.batches())
    for _ in range(_WARM_UP * parts):
        next(iterator)
    start = time.perf_counter()
    for _ in range(steps * parts):
        next(iterator)
    return steps / (time.perf_counter() - start)


def _one_batch(run):
    batch = next(iter(run.batches()))
    while True:
        yield batch


def _training(run, batches, steps):
    with run.strategy.scope():
        trainer = run.task.build_trainer(run.state, batches, run.data)
    trainer.train(_WARM_UP)
    values = trainer.train(steps)
    return {key: values[key] for key in ("examples_per_second", "input_wait_share")}


if __name__ == "__main__":
    command_line.run(main, define_flags)
