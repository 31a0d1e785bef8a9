"""Draws where a classifier spends its computation on one's own images (figures 8 and 9).

    python -m train.ponder_maps --model=runs/quickstart --images='photos/*.jpg' --output_dir=maps

Images of any size and format go through the network whole, with their aspect ratio. For each one
`--output_dir` gets the ponder cost map of every block and in total beside the image, and the total
laid over it; `index.html` shows all of them in groups of low, middle and high cost, and
`metrics.json` has the numbers. One colour scale per block, and one for the total, serve all images.

A file that is no readable image is named on stderr and skipped; the exit code is then 1.
"""

import sys

from absl import flags

from sact_tf.training.images.ponder_maps import draw_ponder_maps
from train import exit_codes, program


def define_flags():
    flags.DEFINE_string(
        "model", None, "a .keras file, a run directory or a checkpoint", required=True
    )
    flags.DEFINE_string(
        "images", None, "an image, a pattern ('**' for any depth) or a folder", required=True
    )
    flags.DEFINE_string("output_dir", None, "where everything is written", required=True)
    flags.DEFINE_integer(
        "short_side",
        None,
        "pixels that the shorter side of every image is resized to; 0 for the file's own size; "
        "default: the size that the model was trained with",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "long_side", 1600, "pixels that the longer side is limited to", lower_bound=1
    )


def main(_):
    args = flags.FLAGS
    skipped = draw_ponder_maps(
        args.model, args.images, args.output_dir, args.short_side, args.long_side
    )
    sys.exit(exit_codes.SKIPPED if skipped else 0)


if __name__ == "__main__":
    program.run(main, define_flags)
