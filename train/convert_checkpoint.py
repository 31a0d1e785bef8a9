"""Converts a checkpoint of the authors' TensorFlow-1 programs into a .keras file.

    python -m train.convert_checkpoint --checkpoint=imagenet_101_sact_5e-3 --output=sact.keras

Network, depth, width, halting and classes are found out from the variables. Every weight of the
model must be in the checkpoint and every variable of the checkpoint must be accounted for.
"""

from absl import flags

from sact_tf.checkpoints import convert_checkpoint
from sact_tf.command_line import next_steps
from train import program


def define_flags():
    flags.DEFINE_string(
        "checkpoint", None, "prefix of the checkpoint, or the directory it is in", required=True
    )
    flags.DEFINE_string("output", None, "the .keras file to write", required=True)
    flags.DEFINE_string(
        "class_names",
        None,
        "text file of class names, one a line; the background class (0) may be left out",
    )
    flags.DEFINE_bool(
        "use_moving_averages",
        False,
        "take the exponential moving averages of the weights instead of the weights of the last "
        "step",
    )
    flags.DEFINE_float(
        "ponder_weight",
        0.005,
        "tau for further training of the model (a checkpoint does not hold it)",
    )


def main(_):
    args = flags.FLAGS
    convert_checkpoint(
        args.checkpoint,
        args.output,
        class_names=args.class_names,
        use_moving_averages=args.use_moving_averages,
        ponder_weight=args.ponder_weight,
    )
    then = program.commands_with(
        args.output,
        "predict --images=new/",
        "ponder_maps --images=new/ --output_dir=maps",
    )
    print(next_steps(then))


if __name__ == "__main__":
    program.run(main, define_flags)
