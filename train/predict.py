"""Classifies one's own images, and says what each of them cost.

    python -m train.predict --model=runs/quickstart --images='photos/*.jpg' --json=photos.json

The preprocessing saved with the model is used. A file that is no readable image is named on stderr
and skipped; the exit code is then 1.
"""

import sys

from absl import flags

from sact_tf.training.images.predict import predict
from train import exit_codes, program


def define_flags():
    flags.DEFINE_string("model", None, "a .keras file or a run directory", required=True)
    flags.DEFINE_string(
        "images", None, "an image, a pattern ('**' for any depth) or a folder", required=True
    )
    flags.DEFINE_string("json", None, "file for the same results, and more digits, as JSON")
    flags.DEFINE_integer("top", 5, "classes to list for each image", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "images run at once", lower_bound=1)


def main(_):
    args = flags.FLAGS
    skipped = predict(args.model, args.images, args.json, args.top, args.batch_size)
    sys.exit(exit_codes.SKIPPED if skipped else 0)


if __name__ == "__main__":
    program.run(main, define_flags)
