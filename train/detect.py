"""Finds objects on one's own images, and draws them beside what the network spent where.

    python -m train.detect --model=runs/detection --images='photos/*.jpg' --output_dir=found

For each image `--output_dir` gets a picture of its detections beside the ponder cost map of the
feature extractor, and the map laid over the image; `index.html` shows all of them, and
`detections.json` has boxes ([ymin, xmin, ymax, xmax] in pixels of the image), classes, scores and
FLOPs. One colour scale serves all images.

A file that is no readable image is named on stderr and skipped; the exit code is then 1.
"""

import sys

from absl import flags

from sact_tf.training.images.detect import detect
from train import exit_codes, program


def define_flags():
    flags.DEFINE_string("model", None, "a .keras file or a run directory", required=True)
    flags.DEFINE_string(
        "images", None, "an image, a pattern ('**' for any depth) or a folder", required=True
    )
    flags.DEFINE_string("output_dir", None, "where everything is written", required=True)
    flags.DEFINE_float(
        "min_score", 0.5, "detections of a lower score are left out", lower_bound=0, upper_bound=1
    )


def main(_):
    args = flags.FLAGS
    skipped = detect(args.model, args.images, args.output_dir, args.min_score)
    sys.exit(exit_codes.SKIPPED if skipped else 0)


if __name__ == "__main__":
    program.run(main, define_flags)
