"""Evaluates a trained classifier at several image sizes.

    python -m train.evaluate --model=runs/quickstart --image_sizes=48,64,96

The data is that of the run, or what `--config` says. Prints one line per size and writes
`metrics.json` into `--output_dir`.
"""

from absl import flags

from sact_tf.training.classification.resolutions import evaluate_resolutions
from train import program


def define_flags():
    flags.DEFINE_string(
        "model", None, "a run directory, a .keras file or a checkpoint", required=True
    )
    flags.DEFINE_list(
        "image_sizes", None, "sides of the square images in pixels: 224,288,352", required=True
    )
    flags.DEFINE_string(
        "config", None, "YAML file whose section `data` is used; default: config.yaml of the run"
    )
    flags.DEFINE_multi_string(
        "params_override", [], "changes to the config, such as data.tfds.data_dir=/data"
    )
    flags.DEFINE_string(
        "output_dir", None, "default: evaluation/ in the run directory or beside the model's file"
    )
    flags.DEFINE_integer("batch_size", None, "images at once; default: the config's", lower_bound=1)
    flags.DEFINE_string(
        "execution", None, "how the units run, if not as the model was saved (masked, tiled, ...)"
    )


def main(_):
    args = flags.FLAGS
    evaluate_resolutions(
        args.model,
        args.image_sizes,
        config=args.config,
        params_override=args.params_override,
        output_dir=args.output_dir,
        batch_size=args.batch_size,
        execution=args.execution,
    )


if __name__ == "__main__":
    program.run(main, define_flags)
