"""Trains the plain network that spends as many FLOPs as a trained ACT or SACT network (section 4).

    python -m train.matched_baseline --source=runs/sact --model_dir=runs/sact_matched

Its units per block are the source's means over images and positions, rounded; it starts from the
first units of the plain network. Everything else is as in the source's config, unless
`--params_override` says otherwise. Stopped runs go on when the same command is given again.
"""

import pathlib

from absl import flags

from sact_tf.training.experiments.matched_baseline.experiment import run_experiment
from train import program


def define_flags():
    flags.DEFINE_string(
        "source",
        None,
        "run directory of a trained and evaluated ACT or SACT network",
        required=True,
    )
    flags.DEFINE_string("model_dir", None, "directory of the new run", required=True)
    flags.DEFINE_multi_string(
        "params_override", [], "changes to the source's config, such as train.steps=1000"
    )


def main(_):
    args = flags.FLAGS
    run_experiment(pathlib.Path(args.source).expanduser(), args.model_dir, args.params_override)


if __name__ == "__main__":
    program.run(main, define_flags, goes_on=True)
