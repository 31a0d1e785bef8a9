"""Does training wait for its data? The input alone, the training step alone, and both together.

    python -m benchmarks.input_pipeline --config=configs/quickstart.yaml --steps=50 --json=out.json

`input`: batches drawn as fast as they come. `step`: training steps on one batch that stands in
memory. `training`: both, as the training program has it, with the share of the time in which the
step waited for the next batch. Where `input` is not well above `step`, training waits.
"""

import json
import tempfile
import time

from absl import flags

from benchmarks import measure
from sact_tf import command_line
from sact_tf.files import atomic_write_text
from sact_tf.training.config.loading import load_config
from sact_tf.training.loop.progress import quiet_logging
from sact_tf.training.run_directory.directory import RunDirectory

_WARM_UP = 3


def define_flags():
    flags.DEFINE_string("config", None, "Of a training run.", required=True)
    flags.DEFINE_multi_string("params_override", [], "Changes to the config.")
    flags.DEFINE_enum("program", "imagenet", ["imagenet", "coco"], "What the config is of.")
    flags.DEFINE_integer("steps", 50, "Steps that count.", lower_bound=2)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    quiet_logging()
    config_class, run_class = _parts(flags.FLAGS.program)
    config = load_config(config_class, flags.FLAGS.config, flags.FLAGS.params_override)
    with tempfile.TemporaryDirectory() as directory:
        run = run_class(config, RunDirectory(directory), trains=True)
        examples = config.train.batch_size
        rows = {
            "input": {"examples_per_second": examples * _input_rate(run)},
            "step": _training(run, _one_batch(run)),
            "training": _training(run, run.batches()),
        }
    for name, row in rows.items():
        wait = row.get("input_wait_share")
        shown = "" if wait is None or name == "step" else f"   waits {wait:.1%} of the time"
        print(f"{name:10} {row['examples_per_second']:10.1f} examples/s{shown}")
    if flags.FLAGS.json:
        result = {
            "machine": measure.machine(),
            "versions": measure.versions(),
            "config": flags.FLAGS.config,
            "batch_size": examples,
            "rows": [{"case": name, **row} for name, row in rows.items()],
        }
        atomic_write_text(flags.FLAGS.json, json.dumps(result, indent=2) + "\n")


def _parts(name):
    if name == "coco":
        from sact_tf.training.detection.config import ClassificationConfig, DetectionConfig
        from sact_tf.training.detection.run import DetectionRun

        return DetectionConfig, DetectionRun
    from sact_tf.training.classification.config import ClassificationConfig, DetectionConfig
    from sact_tf.training.classification.run import ClassificationRun

    return ClassificationConfig, ClassificationRun


def _input_rate(run):
    """Steps' worth of batches per second."""
    parts = run.config.train.gradient_accumulation
    iterator = iter(run.batches())
    for _ in range(_WARM_UP * parts):
        next(iterator)
    start = time.perf_counter()
    for _ in range(flags.FLAGS.steps * parts):
        next(iterator)
    return flags.FLAGS.steps / (time.perf_counter() - start)


def _one_batch(run):
    batch = next(iter(run.batches()))
    while True:
        yield batch


def _training(run, batches):
    with run.strategy.scope():
        trainer = run.build_trainer(
            state=run.state,
            batches=batches,
            accumulation=run.config.train.gradient_accumulation,
            clip_norm=run.config.train.gradient_clip_norm,
        )
    trainer.train(_WARM_UP)
    values = trainer.train(flags.FLAGS.steps)
    return {key: values[key] for key in ("examples_per_second", "input_wait_share")}


if __name__ == "__main__":
    command_line.run(main, define_flags)
