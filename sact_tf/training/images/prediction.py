"""Classifying image files, and saying what each of them cost."""

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.errors import UserError


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


def table_header(block_names: Sequence[str], width: int) -> list[str]:
    """The two lines above the table; `width` is that of its first column."""
    blocks = "".join(f"  {name:>7}" for name in block_names)
    return [
        f"{'':<{width}}  {'':<24}  {'':>7}  {'':>10}  {'':>8}  mean units per position in",
        f"{'image':<{width}}  {'class':<24}  {'chance':>7}  {'MFLOPs':>10}  {'of plain':>8}"
        + blocks,
    ]


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
