"""Evaluation of a detector: average precision, what it spent on each image, and where."""

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.detection import FasterRCNN
from sact_tf.detection.data import DetectionData
from sact_tf.detection.evaluation import coco_results, evaluate_detections
from sact_tf.training.loop.evaluator import Evaluator, joined, pictures_for_tensorboard
from sact_tf.training.loop.unit_usage import usage_scalars
from sact_tf.training.reports.localization import box_masks, mask_auc
from sact_tf.visualization import detections as drawing
from sact_tf.visualization import ponder_maps

_SHOWN_SCORE = 0.5
_EVENT_PICTURES = 4
_KEPT_INPUTS = 16
# Ranking every pixel of a large map costs much and changes nothing.
_RANKED_PIXELS = 2**16


@dataclasses.dataclass
class SampleDetections:
    """A held-out image kept for pictures.

    Attributes:
        image: uint8 [H, W, 3], as it entered the network.
        boxes: [N, 4], (ymin, xmin, ymax, xmax), of the detections with a score of 0.5 or more.
        labels: their classes.
        scores: their scores.
        ponder_map: ponder cost of the extractor, [H, W].
        flops_ratio: FLOPs of the extractor as a share of the plain one's.
        network_input: float32 [H, W, 3], of the first samples; they are large.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    ponder_map: np.ndarray
    flops_ratio: float
    network_input: np.ndarray | None


class DetectionEvaluator(Evaluator):
    """Evaluates on all of a data set's held-out images.

    Args:
        model: the detector.
        data: the data set.
        batch_size: images at once.
        num_samples: how many images to keep for pictures.
        reference_flops: FLOPs of plain ResNet-101's extractor for an image of a height and a width,
            or None where there is no such comparison.

    Attributes:
        predictions: the detections of the last evaluation, a JSON text in COCO's result format.
        samples: list of `SampleDetections`.
        flops: int64 [images], of the extractor.
        plain_flops: int64 [images], of the same extractor without halting.
    """

    def __init__(
        self,
        model: FasterRCNN,
        data: DetectionData,
        batch_size: int,
        num_samples: int,
        reference_flops: Callable[[int, int], int] | None = None,
    ):
        super().__init__(data.evaluation(batch_size))
        self.model = model
        # A text: TensorFlow wraps the lists and dicts in its objects' attributes.
        self.predictions = "[]"
        self.samples: list[SampleDetections] = []
        self.flops = self.plain_flops = np.zeros([0], np.int64)
        self._data = data
        self._ground_truth = functools.cache(data.ground_truth)
        self._keep_every = max(1, data.num_examples("validation") // num_samples)
        self._num_samples = num_samples
        self._plain = functools.cache(model.plain_flops)
        self._reference = functools.cache(reference_flops) if reference_flops else None

    def eval_begin(self) -> dict[str, Any]:
        return {"images": 0, "results": [], "ids": [], "arrays": [], "samples": []}

    def evaluate_batch(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = self.model.forward(batch["image"], valid=batch["valid"], training=False)
        result = {name: outputs[name] for name in self.model.answers}
        result |= {
            "ponder_map": outputs["ponder_cost_map"],
            "flops": outputs["flops"],
            "image": batch["image"],
            "truth": batch["boxes"],
            # Crowds are objects, padding of the list of boxes is not.
            "is_object": batch["classes"] >= 0,
            "image_id": batch["image_id"],
            "scale": batch["scale"],
            "original_size": batch["original_size"],
            "size": tf.stack(
                [
                    tf.reduce_sum(tf.cast(batch["valid"][:, :, 0], tf.int32), axis=1),
                    tf.reduce_sum(tf.cast(batch["valid"][:, 0], tf.int32), axis=1),
                ],
                axis=1,
            ),
        }
        lengths = {block.name: len(block.units) for block in self.model.backbone.blocks}
        for block, halting in outputs["halting"].items():
            reached = halting["num_units"][..., tf.newaxis] >= tf.range(1, lengths[block] + 1)
            # The first unit is computed everywhere but in the padding.
            result[f"reached/{block}"] = tf.reduce_sum(tf.cast(reached, tf.int64), [1, 2])
            result[f"cost/{block}"] = tf.reduce_sum(halting["ponder_cost"], [1, 2])
        return result

    def collect(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        state["results"] += coco_results(
            arrays,
            arrays["image_id"],
            arrays["scale"],
            arrays["original_size"],
            self._data.category_ids,
        )
        state["ids"] += arrays["image_id"].tolist()
        numbers = {k: v for k, v in arrays.items() if k == "flops" or "/" in k}
        numbers["plain"] = np.array([self._plain(*size) for size in arrays["size"].tolist()])
        if self._reference is not None:
            sizes = arrays["size"].tolist()
            numbers["reference"] = np.array([self._reference(*size) for size in sizes])
        if self.model.halting_kind is not None:
            numbers["auc"] = np.array(
                [self._auc(arrays, index) for index in range(len(arrays["flops"]))]
            )
        for index in range(len(arrays["flops"])):
            wanted = (state["images"] + index) % self._keep_every == 0
            if wanted and len(state["samples"]) < self._num_samples:
                ratio = arrays["flops"][index] / numbers["plain"][index]
                keeps_input = len(state["samples"]) < _KEPT_INPUTS
                state["samples"].append(_sample(arrays, index, float(ratio), keeps_input))
        state["images"] += len(arrays["flops"])
        state["arrays"].append(numbers)
        return state

    def eval_end(self, state: dict[str, Any]) -> dict[str, float]:
        arrays = joined(state["arrays"])
        results = state["results"]
        self.predictions, self.samples = json.dumps(results) + "\n", state["samples"]
        self.flops, self.plain_flops = arrays["flops"], arrays["plain"]
        ratios = self.flops / self.plain_flops
        result = {
            **evaluate_detections(self._ground_truth(), results, state["ids"]),
            "num_examples": state["images"],
            "detections_per_image": len(results) / state["images"],
            "extractor_flops_mean": float(self.flops.mean()),
            "extractor_flops_std": float(self.flops.std()),
            "flops_ratio": float(ratios.mean()),
            "flops_ratio_std": float(ratios.std()),
        }
        if "reference" in arrays:
            shares = self.flops / arrays["reference"]
            result["resnet101_flops_ratio"] = float(shares.mean())
            result["resnet101_flops_ratio_std"] = float(shares.std())
        if "auc" in arrays and np.isfinite(arrays["auc"]).any():
            result["ponder_localization_auc"] = float(np.nanmean(arrays["auc"]))
        result |= self._block_numbers(arrays)
        with pictures_for_tensorboard():
            self._write_pictures()
        return result

    def _block_numbers(self, arrays) -> dict[str, float]:
        result = {}
        for name in [key.partition("/")[2] for key in arrays if key.startswith("reached/")]:
            reached = arrays[f"reached/{name}"].sum(axis=0)
            self.unit_usage[name] = (reached / reached[0]).tolist()
            result[f"num_units/{name}"] = float(reached.sum() / reached[0])
            result[f"ponder_cost/{name}"] = float(arrays[f"cost/{name}"].sum() / reached[0])
        return result | usage_scalars(self.unit_usage)

    def _auc(self, arrays, index: int) -> float:
        """How well the ponder map tells the pixels of objects from the others."""
        height, width = arrays["size"][index]
        boxes = arrays["truth"][index][arrays["is_object"][index]]
        if not len(boxes):
            return math.nan
        mask: np.ndarray = np.any(box_masks(boxes, height, width), axis=0)
        step = max(1, round(math.sqrt(height * width / _RANKED_PIXELS)))
        ponder_map = arrays["ponder_map"][index][:height:step, :width:step]
        return float(mask_auc(ponder_map[None], mask[None, ::step, ::step])[0])

    def kept_images(self) -> list[np.ndarray]:
        inputs = [sample.network_input for sample in self.samples]
        return [image for image in inputs if image is not None]

    def _write_pictures(self) -> None:
        shown = self.samples[:_EVENT_PICTURES]
        limits = ponder_maps.shared_limits(sample.ponder_map for sample in shown)
        for number, sample in enumerate(shown):
            picture = np.concatenate(
                [
                    drawing.draw_boxes(sample.image, sample.boxes, labels=sample.labels.tolist()),
                    ponder_maps.colorize(sample.ponder_map, limits),
                ],
                axis=1,
            )
            tf.summary.image(f"detections_and_ponder_cost/{number}", picture[None])


def _sample(arrays, index: int, flops_ratio: float, keeps_input: bool) -> SampleDetections:
    height, width = arrays["size"][index]
    image = arrays["image"][index][:height, :width]
    shown = arrays["scores"][index] >= _SHOWN_SCORE
    return SampleDetections(
        image=ponder_maps.displayable(image).copy(),
        boxes=arrays["boxes"][index][shown],
        labels=arrays["classes"][index][shown],
        scores=arrays["scores"][index][shown],
        ponder_map=arrays["ponder_map"][index][:height, :width].copy(),
        flops_ratio=flops_ratio,
        network_input=image.copy() if keeps_input else None,
    )
