"""Evaluation of a classifier: accuracy, what it spent on each image, and where."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.models import ImageClassifier
from sact_tf.training.classification.trainer import cross_entropy
from sact_tf.training.loop.evaluator import Evaluator, joined, pictures_for_tensorboard
from sact_tf.training.loop.unit_usage import usage_scalars
from sact_tf.training.reports.localization import localization_auc


@dataclasses.dataclass
class SampleImage:
    """A held-out image kept for pictures.

    Attributes:
        image: float [H, W, 3], preprocessed.
        label: its class.
        prediction: the network's class.
        ponder_map: total ponder cost, [H, W], or [1, 1] where it has no positions.
        flops: FLOPs spent on it.
        box: (top, left, bottom, right) of the object in pixels, or None.
    """

    image: np.ndarray
    label: int
    prediction: int
    ponder_map: np.ndarray
    flops: int
    box: np.ndarray | None

    @property
    def cost(self) -> float:
        """Mean ponder cost over positions, summed over blocks."""
        return float(self.ponder_map.mean())


class ClassificationEvaluator(Evaluator):
    """Evaluates on all of a data set's held-out images.

    Args:
        model: the classifier.
        dataset: finite batches of `image`, `label` and optionally `box`.
        num_examples: how many images that is; chooses the ones kept evenly. May be an upper bound.
        num_samples: how many to keep for pictures.

    Attributes:
        samples: list of `SampleImage` of the last evaluation.
        flops: int64 [images] of the last evaluation.
        plain_flops: per image, of the same network without halting.
    """

    def __init__(
        self,
        model: ImageClassifier,
        dataset: tf.data.Dataset,
        num_examples: int,
        num_samples: int,
    ):
        super().__init__(dataset)
        self.model = model
        self.samples: list[SampleImage] = []
        self.flops = np.zeros([0], np.int64)
        self.plain_flops = 0
        self._keep_every = max(1, num_examples // num_samples)
        self._num_samples = num_samples

    def eval_begin(self) -> dict[str, Any]:
        return {"images": 0, "arrays": [], "samples": []}

    def evaluate_batch(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = self.model.ponder(batch["image"])
        logits, labels = outputs["logits"], batch["label"]
        result = {
            "images": batch["image"],
            "labels": labels,
            "prediction": tf.argmax(logits, axis=-1, output_type=tf.int32),
            "cross_entropy": cross_entropy(logits, labels),
            "in_top_5": tf.math.in_top_k(labels, tf.cast(logits, tf.float32), 5),
            "flops": outputs["flops"],
            "ponder_map": outputs["ponder_cost_map"],
        }
        for block in self.model.backbone.blocks:
            name = block.name
            units = outputs[name]["num_units"]
            result[f"ponder_cost/{name}"] = tf.reduce_mean(outputs[name]["ponder_cost"], [1, 2])
            reached = units[..., tf.newaxis] >= tf.range(1, len(block.units) + 1)
            result[f"usage/{name}"] = tf.reduce_mean(tf.cast(reached, tf.float32), [1, 2])
        if "box" in batch:
            result["box"] = batch["box"]
        return result

    def collect(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        images, maps = arrays.pop("images"), arrays.pop("ponder_map")
        boxes = arrays.pop("box", None)
        for index in range(len(images)):
            wanted = (state["images"] + index) % self._keep_every == 0
            if wanted and len(state["samples"]) < self._num_samples:
                state["samples"].append(
                    SampleImage(
                        image=images[index],
                        label=int(arrays["labels"][index]),
                        prediction=int(arrays["prediction"][index]),
                        ponder_map=maps[index],
                        flops=int(arrays["flops"][index]),
                        box=_box(boxes, index),
                    )
                )
        if boxes is not None and self.model.halting_kind is not None:
            shape = (len(maps), *images.shape[1:3])
            arrays["localization"] = localization_auc(np.broadcast_to(maps, shape), boxes)
        if not state["images"]:
            self.plain_flops = self.model.plain_flops(*images.shape[1:3])
        state["images"] += len(images)
        state["arrays"].append(arrays)
        return state

    def eval_end(self, state: dict[str, Any]) -> dict[str, float]:
        arrays = joined(state["arrays"])
        self.samples, self.flops = state["samples"], arrays["flops"]
        flops = self.flops.astype(np.float64)
        result = {
            "accuracy": float(np.mean(arrays["prediction"] == arrays["labels"])),
            "cross_entropy": float(np.mean(arrays["cross_entropy"], dtype=np.float64)),
            "num_examples": state["images"],
            "flops_mean": float(flops.mean()),
            "flops_std": float(flops.std()),
            "flops_ratio": float(flops.mean() / self.plain_flops),
        }
        if self.model.num_classes > 5:
            result["recall@5"] = float(np.mean(arrays["in_top_5"]))
        if "localization" in arrays:
            areas = arrays["localization"][np.isfinite(arrays["localization"])]
            if len(areas):
                result["ponder_localization_auc"] = float(areas.mean())
                result["ponder_localization_images"] = len(areas)
        for name in self.model.block_names:
            usage = arrays[f"usage/{name}"].mean(axis=0, dtype=np.float64)
            self.unit_usage[name] = usage.tolist()
            # Units are used one after the other, so the mean number is the sum of their shares.
            result[f"num_units/{name}"] = float(usage.sum())
            cost = arrays[f"ponder_cost/{name}"]
            result[f"ponder_cost/{name}"] = float(cost.mean(dtype=np.float64))
        result.update(usage_scalars(self.unit_usage))
        with pictures_for_tensorboard():
            self._write_pictures()
        return result

    def kept_images(self) -> list[np.ndarray]:
        return [sample.image for sample in self.samples]

    def _write_pictures(self) -> None:
        if self.model.halting_kind != "sact":
            return
        from sact_tf.visualization import ponder_maps

        shown = self.samples[:8]
        limits = ponder_maps.shared_limits(sample.ponder_map for sample in shown)
        pairs = [
            np.concatenate(
                [
                    ponder_maps.displayable(sample.image),
                    ponder_maps.colorize(sample.ponder_map, limits),
                ],
                axis=1,
            )
            for sample in shown
        ]
        tf.summary.image("image_and_ponder_cost", np.stack(pairs), max_outputs=len(pairs))


def _box(boxes: np.ndarray | None, index: int) -> np.ndarray | None:
    """The box of an image, None where it has none."""
    return None if boxes is None or np.isnan(boxes[index]).any() else boxes[index]
