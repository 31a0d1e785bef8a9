"""Classifies image files, and says what each of them cost."""

import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf import paths
from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.files import atomic_write_json
from sact_tf.models import ImageClassifier
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.images.files import ImageFiles


def predict(
    model: str | os.PathLike,
    images: str,
    json: str | os.PathLike | None = None,
    top: int = 5,
    batch_size: int = 16,
) -> int:
    """Classifies image files and prints a table, line by line as they are done.

    A file that is no readable image is named on stderr and skipped.

    Args:
        model: see `load_classifier`.
        images: see `find_images`.
        json: file for the same results, with all digits.
        top: classes to list for each image.
        batch_size: images run at once.

    Returns:
        How many files were skipped.

    Raises:
        UserError: an argument is unusable.
    """
    files = ImageFiles(images)
    file = None if json is None else paths.output_file("json", json)
    classifier = load_classifier(model)
    predictor = Predictor(classifier, top)
    width = min(48, max(len("image"), *(len(str(path)) for path in files.paths)))
    print(_line(width, "", "", "", "", "", ["mean units per position in"]))
    names = classifier.block_names
    print(_line(width, "image", "class", "chance", "MFLOPs", "of plain", names))
    results = []
    for path, result in predictions(predictor, files, batch_size):
        results.append({"path": str(path), **result})
        print("\n".join(_lines(path, result, width)), flush=True)
    if file is not None:
        skipped = [{"path": path, "reason": reason} for path, reason in files.skipped.items()]
        content = {"model": os.fspath(model), "images": results, "skipped": skipped}
        with paths.writing("json", file):
            atomic_write_json(file, content)
    return files.report_skipped()


class Predictor:
    """Runs a classifier on image files.

    Args:
        model: a classifier with its preprocessing.
        top: number of classes to list.

    Raises:
        UserError: the model was saved without its preprocessing.
    """

    def __init__(self, model: ImageClassifier, top: int):
        self._model = model
        self._preprocess = evaluation_function(model.required_preprocessing())
        self._ponder = tf.function(model.ponder, reduce_retracing=True, autograph=False)
        self._top = min(top, model.num_classes)

    def read(self, path: pathlib.Path) -> np.ndarray:
        """Returns the network's input for a file, float32 [H, W, 3].

        Raises:
            UserError: the file is no readable image.
        """
        return np.asarray(self._preprocess(tf.constant(read_image(path))))

    def __call__(self, images: np.ndarray) -> list[dict[str, Any]]:
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
                            "class": self._model.class_name(label),
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

    def _block_means(self, outputs, key: str, index: int) -> dict[str, float]:
        names = self._model.block_names
        return {name: float(np.mean(outputs[name][key][index])) for name in names}


def predictions(
    predictor: Predictor, files: ImageFiles, batch_size: int
) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
    """Yields the result of each readable file in order."""
    # Images of one size in a row share a batch.
    for _, group in itertools.groupby(
        files.for_each(predictor.read), key=lambda item: item[1].shape
    ):
        while batch := list(itertools.islice(group, batch_size)):
            results = predictor(np.stack([image for _, image in batch]))
            yield from zip((path for path, _ in batch), results, strict=True)


def _lines(path: pathlib.Path, result: dict[str, Any], width: int) -> Iterator[str]:
    """The table's lines for one image: its best class and costs, then the other classes."""
    best, *others = result["predictions"]
    name = str(path)
    yield _line(
        width,
        name if len(name) <= width else "…" + name[-(width - 1) :],
        best["class"],
        f"{best['probability']:.1%}",
        f"{result['flops'] / 1e6:.1f}",
        f"{result['flops_ratio']:.1%}",
        [f"{units:.2f}" for units in result["num_units"].values()],
    )
    for other in others:
        yield _line(width, "", other["class"], f"{other['probability']:.1%}", "", "", [])


def _line(
    width: int, name: str, label: str, chance: str, flops: str, share: str, blocks: Sequence[str]
) -> str:
    units = "".join(f"  {text:>7}" for text in blocks)
    line = f"{name:<{width}}  {label:<24.24}  {chance:>7}  {flops:>10}  {share:>8}{units}"
    return line.rstrip()
