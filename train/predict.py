"""Classifies one's own images, and says what each of them cost.

    python -m train.predict --model=runs/quickstart --images='photos/*.jpg' --json=photos.json

The preprocessing saved with the model is used. A file that is no readable image is named on stderr
and skipped; the exit code is then 1.
"""

import itertools
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json
from train import program
from train.image_files import find_images
from train.model_loading import load_classifier

_MODEL = flags.DEFINE_string("model", None, "a .keras file or a run directory", required=True)
_IMAGES = flags.DEFINE_string(
    "images", None, "an image, a pattern ('**' for any depth) or a folder", required=True
)
_JSON = flags.DEFINE_string("json", None, "file for the same results, and more digits, as JSON")
_TOP = flags.DEFINE_integer("top", 5, "classes to list for each image", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "images run at once", lower_bound=1)

_SKIPPED_CODE = 1


class Predictor:
    """Runs a classifier on image files.

    Args:
        model: an `ImageClassifier` with its preprocessing.
        top: number of classes to list.
    """

    def __init__(self, model, top: int):
        if model.preprocessing is None:
            raise UserError(
                "the model does not say how images become its input: its preprocessing is None "
                "(give ImageClassifier(..., preprocessing=...) when you build it)"
            )
        self._model = model
        self._preprocess = evaluation_function(model.preprocessing)
        self._ponder = tf.function(model.ponder, reduce_retracing=True)
        self._top = min(top, model.num_classes)

    def read(self, path: pathlib.Path) -> np.ndarray:
        """Returns the network's input for a file, float32 [H, W, 3].

        Raises:
            UserError: the file is no readable image.
        """
        return np.asarray(self._preprocess(tf.constant(read_image(path))))

    def predict(self, images: np.ndarray) -> list[dict[str, Any]]:
        """Returns a JSON-able dict for each image of a batch [B, H, W, 3]."""
        outputs = self._ponder(tf.constant(images))
        probabilities = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32)).numpy()
        plain = self._model.plain_flops(*images.shape[1:3])
        results = []
        for index, chances in enumerate(probabilities):
            best = np.argsort(-chances, kind="stable")[: self._top]
            flops = int(outputs["flops"][index])
            results.append(
                {
                    "predictions": [
                        {
                            "class": self._name(label),
                            "label": int(label),
                            "probability": float(chances[label]),
                        }
                        for label in best
                    ],
                    "flops": flops,
                    "plain_flops": plain,
                    "flops_ratio": flops / plain,
                    "num_units": self._block_means(outputs, "num_units", index),
                    "ponder_cost": self._block_means(outputs, "ponder_cost", index),
                }
            )
        return results

    def _name(self, label: int) -> str:
        names = self._model.class_names
        return str(label) if names is None else names[label]

    def _block_means(self, outputs, key: str, index: int) -> dict[str, float]:
        names = self._model.backbone.block_names
        return {name: float(np.mean(outputs[name][key][index])) for name in names}


def predictions(
    predictor: Predictor, paths: Sequence[pathlib.Path], batch_size: int
) -> Iterator[tuple[pathlib.Path, dict[str, Any] | UserError]]:
    """Yields the result of each file in order, or why it was skipped."""

    def loaded():
        for path in paths:
            try:
                yield path, predictor.read(path), None
            except UserError as error:
                yield path, None, error

    # Images of one size in a row share a batch.
    for shape, group in itertools.groupby(
        loaded(), key=lambda item: None if item[1] is None else item[1].shape
    ):
        while chunk := list(itertools.islice(group, batch_size)):
            if shape is None:
                yield from ((path, error) for path, _, error in chunk)
            else:
                results = predictor.predict(np.stack([image for _, image, _ in chunk]))
                yield from zip((path for path, _, _ in chunk), results, strict=True)


def table_lines(path: pathlib.Path, result: dict[str, Any], width: int) -> Iterator[str]:
    """Yields the table's lines for one image: its best class and costs, then the other classes."""
    best, *others = result["predictions"]
    units = "".join(f"  {units:>7.2f}" for units in result["num_units"].values())
    name = str(path)
    name = name if len(name) <= width else "…" + name[-(width - 1) :]
    yield (
        f"{name:<{width}}  {best['class']:<24.24}  {best['probability']:>7.1%}  "
        f"{result['flops'] / 1e6:>10.1f}  {result['flops_ratio']:>8.1%}{units}"
    )
    for other in others:
        yield f"{'':<{width}}  {other['class']:<24.24}  {other['probability']:>7.1%}"


def main(_):
    paths = find_images(_IMAGES.value)
    model = load_classifier(_MODEL.value)
    predictor = Predictor(model, _TOP.value)
    width = min(48, max(len("image"), *(len(str(path)) for path in paths)))
    blocks = "".join(f"  {name:>7}" for name in model.backbone.block_names)
    print(f"{'':<{width}}  {'':<24}  {'':>7}  {'':>10}  {'':>8}  mean units per position in")
    print(
        f"{'image':<{width}}  {'class':<24}  {'chance':>7}  {'MFLOPs':>10}  {'of plain':>8}{blocks}"
    )
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
