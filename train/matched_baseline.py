"""Trains the plain network that spends as many FLOPs as a trained ACT or SACT network (section 4).

    python -m train.matched_baseline --source=runs/sact --model_dir=runs/sact_matched

Its units per block are the source's means over images and positions, rounded; it starts from the
first units of the plain network. Everything else is as in the source's config, unless
`--params_override` says otherwise. Stopped runs go on when the same command is given again.
"""

import pathlib

from absl import flags

from sact_tf.training.classification.job import train_and_evaluate
from sact_tf.training.config.loading import override_config
from sact_tf.training.experiments.matched_config import matched_config
from train import program

_SOURCE = flags.DEFINE_string(
    "source", None, "run directory of a trained and evaluated ACT or SACT network", required=True
)
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "directory of the new run", required=True)
_PARAMS_OVERRIDE = flags.DEFINE_multi_string(
    "params_override", [], "changes to the source's config, such as train.steps=1000"
)


def main(_):
    source = pathlib.Path(_SOURCE.value).expanduser()
    config = override_config(matched_config(source), _PARAMS_OVERRIDE.value)
    units = config.model.units or config.model.units_per_block
    print(
        f"units per block: {', '.join(map(str, units))}; starts from {config.train.warm_start}",
        flush=True,
    )
    metrics = train_and_evaluate(config, _MODEL_DIR.value)
    print(
        f"accuracy {metrics['accuracy']:.4f} with {metrics['flops_mean']:.4g} FLOPs per image\n"
        f"metrics: {pathlib.Path(_MODEL_DIR.value) / 'metrics.json'}"
    )


if __name__ == "__main__":
    program.run(main)
