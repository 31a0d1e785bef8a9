"""Adapts a pretrained network to your own photos, to a share of its FLOPs.

    python -m train.finetune --images=photos/ --flops_budget=0.6 --model_dir=runs/photos

`photos/` has a folder per class. Starts from the ImageNet weights of `keras.applications`, trains
the head first and then all layers with halting. Writes a run directory: `model.keras`,
`report.html`, `metrics.json`, the resolved `config.yaml`, `export/`, and in `head/` the run of the
head. Given again, the command goes on where it was stopped. Exit codes: `train/exit_codes.py`.
"""

from absl import flags

from sact_tf.models.keras_application.sources import DEPTHS
from sact_tf.training.experiments.finetune.config import FinetuneOptions
from sact_tf.training.experiments.finetune.experiment import run_experiment
from train import program


def define_flags():
    flags.DEFINE_string("images", None, "folder with one sub-folder per class", required=True)
    flags.DEFINE_string("model_dir", None, "directory of the run", required=True)
    flags.DEFINE_float(
        "flops_budget", 0.6, "share of the plain network's FLOPs that the network shall spend"
    )
    flags.DEFINE_enum(
        "network", None, list(DEPTHS), "default: ResNet50V2, or what --weights are of"
    )
    flags.DEFINE_string(
        "weights", None, "file of weights, where Keras has no network to download them"
    )
    flags.DEFINE_string(
        "validation_images", None, "folder of held-out images; default: a share of --images"
    )
    flags.DEFINE_float("validation_fraction", None, "that share; default: 0.1")
    flags.DEFINE_integer("image_size", None, "side of the input in pixels; default: 224")
    flags.DEFINE_integer("batch_size", None, "images of a step; default: 32", lower_bound=1)
    flags.DEFINE_integer("steps", None, "default: 20 epochs, 600 to 5,000 steps", lower_bound=1)
    flags.DEFINE_integer(
        "head_steps", None, "of the head alone; default: 5 epochs, 100 to 1,000", lower_bound=1
    )
    flags.DEFINE_float("learning_rate", None, "the highest; default: 0.005")
    flags.DEFINE_float("head_learning_rate", None, "of the head alone; default: 0.02")
    flags.DEFINE_integer("seed", None, "default: 0", lower_bound=0)
    flags.DEFINE_string("config", "configs/imagenet/sact_from_keras.yaml", "all other settings")
    flags.DEFINE_multi_string(
        "params_override", [], "changes to the config: runtime.strategy=mirrored"
    )


def main(_):
    args = flags.FLAGS
    names = FinetuneOptions.__dataclass_fields__
    given = {name: getattr(args, name) for name in names}
    given["params_override"] = tuple(args.params_override)
    run_experiment(FinetuneOptions(**given), args.model_dir)


if __name__ == "__main__":
    program.run(main, define_flags, goes_on=True)
