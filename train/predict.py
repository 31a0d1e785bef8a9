"""Classifies one's own images, and says what each of them cost.

    python -m train.predict --model=runs/quickstart --images='photos/*.jpg' --json=photos.json

The preprocessing saved with the model is used. A file that is no readable image is named on stderr
and skipped; the exit code is then 1.
"""

import os
import sys

from absl import flags

from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.images.files import find_images
from sact_tf.training.images.prediction import Predictor, predictions, table_header, table_lines
from train import program

_MODEL = flags.DEFINE_string("model", None, "a .keras file or a run directory", required=True)
_IMAGES = flags.DEFINE_string(
    "images", None, "an image, a pattern ('**' for any depth) or a folder", required=True
)
_JSON = flags.DEFINE_string("json", None, "file for the same results, and more digits, as JSON")
_TOP = flags.DEFINE_integer("top", 5, "classes to list for each image", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "images run at once", lower_bound=1)

_SKIPPED_CODE = 1


def main(_):
    paths = find_images(_IMAGES.value)
    model = load_classifier(_MODEL.value)
    predictor = Predictor(model, _TOP.value)
    width = min(48, max(len("image"), *(len(str(path)) for path in paths)))
    print("\n".join(table_header(model.backbone.block_names, width)))
    results, skipped = [], []
    for path, result in predictions(predictor, paths, _BATCH_SIZE.value):
        if isinstance(result, UserError):
            print(f"skipped: {result}", file=sys.stderr, flush=True)
            skipped.append({"path": str(path), "reason": str(result)})
            continue
        results.append({"path": str(path), **result})
        print("\n".join(table_lines(path, result, width)), flush=True)
    if _JSON.value:
        content = {"model": os.fspath(_MODEL.value), "images": results, "skipped": skipped}
        try:
            atomic_write_json(_JSON.value, content)
        except OSError as error:
            raise UserError(f"--json={_JSON.value}: cannot be written: {error.strerror}") from None
    if skipped:
        print(f"{len(skipped)} of {len(paths)} files skipped", file=sys.stderr)
        sys.exit(_SKIPPED_CODE)


if __name__ == "__main__":
    program.run(main)
