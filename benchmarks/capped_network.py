"""What capacities cut of a trained classifier, and what that does to its accuracy.

python -m benchmarks.capped_network --model=runs/quickstart --caps=0.95,0.5,=0.5,=0.25

A number of --caps is a quantile (`sact_tf.budget.cap`), one after "=" a capacity of all units.
Measured on the first half of the run's held-out images, judged on the second.
"""

import json

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks import measure
from sact_tf.budget import FlopsShare, cap
from sact_tf.command_line import run
from sact_tf.errors import UserError
from sact_tf.models import set_capacities
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.config.loading import load_config
from sact_tf.training.run_directory.directory import home_of

_BATCH = 50


def define_flags():
    flags.DEFINE_string("model", None, "A run directory of a classifier.", required=True)
    flags.DEFINE_list("caps", ["0.95", "0.5", "=0.5", "=0.25"], "Quantiles, =capacities.")
    flags.DEFINE_integer("images", 1000, "Held-out images.", lower_bound=2)
    flags.DEFINE_string("json", None, "Where to write the results.")


def main(argv):
    del argv
    model = load_classifier(flags.FLAGS.model)
    config = load_config(ClassificationConfig, home_of(flags.FLAGS.model) / "config.yaml")
    batches = list(builders.build_data(config.data).evaluation(1).take(flags.FLAGS.images))
    images = np.concatenate([batch["image"].numpy() for batch in batches])
    labels = np.concatenate([batch["label"].numpy() for batch in batches])
    half = len(images) // 2
    known = _in_batches(images[:half])
    print("cap       FLOPs  at most  accuracy  limited  cut in the unit with the most")
    rows = []
    for text in ("none", *flags.FLAGS.caps):
        caps = _cap(model, known, text)
        judged = _in_batches(images[half:])
        row = {"cap": text, "flops_ratio": FlopsShare(model)(judged)}
        row["accuracy"] = _accuracy(model, judged, labels[half:])
        if caps is not None:
            row |= {
                "flops_at_most": caps.flops_at_most,
                "limited": max(unit.limited for unit in caps.units),
                "cut": max(unit.cut for unit in caps.units),
                "capacities": json.dumps([block.own_capacities for block in model.backbone.blocks]),
            }
        print(
            f"{text:8s} {row['flops_ratio']:6.3f} {row.get('flops_at_most', np.nan):8.3f}"
            f" {row['accuracy']:9.3f} {row.get('limited', 0.0):8.3f} {row.get('cut', 0.0):6.3f}",
            flush=True,
        )
        rows.append(row)
    measure.write_json(flags.FLAGS.json, rows, model=flags.FLAGS.model, images=len(images))


def _in_batches(images):
    return [tf.constant(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]


def _cap(model, batches, text):
    if text == "none":
        set_capacities(model, None)
        return None
    try:
        value = float(text.removeprefix("="))
    except ValueError:
        raise UserError(f"--caps: expected numbers, =numbers, received {text!r}") from None
    if text.startswith("="):
        return cap(model, batches, capacities=value)
    return cap(model, batches, quantile=value)


def _accuracy(model, batches, labels):
    logits = tf.function(lambda images: model(images, training=False))
    found = np.concatenate([np.argmax(logits(batch), axis=1) for batch in batches])
    return float(np.mean(found == labels))


if __name__ == "__main__":
    run(main, define_flags)
