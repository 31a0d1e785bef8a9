"""Average precision of detections by COCO's own evaluation.

Detections and ground truth are dicts and lists in COCO's formats: boxes [x, y, width, height] in
pixels of the original image, categories by the data set's own ids.

Reference: Lin et al., Microsoft COCO (arXiv 1405.0312); https://cocodataset.org/#detection-eval.
"""

import contextlib
import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sact_tf.errors import UserError

_STATISTICS = (
    "mAP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip
_DIGITS = 3  # Of coordinates, as in COCO's own files: thousandths of a pixel.


def coco_results(
    predictions: Mapping[str, np.ndarray],
    image_ids: np.ndarray,
    scales: np.ndarray,
    original_sizes: np.ndarray,
    category_ids: Sequence[int],
) -> list[dict[str, Any]]:
    """The detections of a batch in COCO's result format.

    Args:
        predictions: of a `FasterRCNN`: `boxes` [B, N, 4] (ymin, xmin, ymax, xmax) in input pixels,
            `classes` [B, N], `scores` [B, N], `num_detections` [B].
        image_ids: [B].
        scales: [B, 2], input pixels per original pixel, (y, x).
        original_sizes: [B, 2], (height, width); boxes are cut off there.
        category_ids: id of each class.

    Returns:
        One dict per detection: `image_id`, `category_id`, `bbox`, `score`.
    """
    results = []
    for index, image_id in enumerate(image_ids):
        count = int(predictions["num_detections"][index])
        scale = np.tile(np.asarray(scales[index], np.float64), 2)
        border = np.tile(np.asarray(original_sizes[index], np.float64), 2)
        boxes = np.asarray(predictions["boxes"][index][:count], np.float64) / scale
        top, left, bottom, right = np.clip(boxes, 0, border).T
        corners = np.round(np.stack([left, top, right - left, bottom - top], axis=1), _DIGITS)
        for box, label, score in zip(
            corners,
            predictions["classes"][index][:count],
            predictions["scores"][index][:count],
            strict=True,
        ):
            results.append(
                {
                    "image_id": int(image_id),
                    "category_id": int(category_ids[int(label)]),
                    "bbox": box.tolist(),
                    "score": float(score),
                }
            )
    return results


def evaluate_detections(
    ground_truth: Mapping[str, Any] | str | os.PathLike,
    results: Sequence[Mapping[str, Any]] | str | os.PathLike,
    image_ids: Sequence[int] | None = None,
) -> dict[str, float]:
    """Scores detections with pycocotools.

    Args:
        ground_truth: content of a COCO annotation file, or its path.
        results: list of results, or the path of such a JSON file.
        image_ids: images to score; all of the ground truth if None.

    Returns:
        `mAP` (over IoU 0.5 ... 0.95), `AP50`, `AP75`, `AP_small` (area under 32² pixels),
        `AP_medium` (to 96²), `AP_large`, and the average recalls `AR1`, `AR10`, `AR100` (with so
        many detections per image), `AR_small`, `AR_medium`, `AR_large`; all in 0 ... 1. What has no
        objects to be measured on is left out.

    Raises:
        UserError: a file cannot be read, or the results do not belong to the ground truth.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth_content = _loaded(ground_truth)
    found = _loaded(results)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        # Some versions of pycocotools copy "info", which users' files may lack.
        truth.dataset = {"info": {}, **truth_content}
        truth.createIndex()
        wanted = sorted(truth.imgs) if image_ids is None else sorted(map(int, image_ids))
        _check(found, truth)
        if not found:  # pycocotools cannot load an empty list.
            return _empty(truth, set(wanted))
        evaluation = COCOeval(truth, truth.loadRes(list(found)), "bbox")
        evaluation.params.imgIds = wanted
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # -1 stands for "no such object".
    return {
        name: float(value)
        for name, value in zip(_STATISTICS, evaluation.stats, strict=True)
        if value > -1
    }


def _loaded(content: Any) -> Any:
    if not isinstance(content, str | os.PathLike):
        return content
    try:
        return json.loads(pathlib.Path(content).expanduser().read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(f"{content}: not a readable JSON file ({error})") from None


def _check(results, truth) -> None:
    if not isinstance(results, Sequence):
        raise UserError("Expected results to be a list in COCO's result format")
    for number, result in enumerate(results):
        if not isinstance(result, Mapping) or not {
            "image_id",
            "category_id",
            "bbox",
            "score",
        } <= set(result):
            raise UserError(
                f"Result {number}: expected image_id, category_id, bbox and score, "
                f"received {result!r:.99}"
            )
        if result["image_id"] not in truth.imgs or result["category_id"] not in truth.cats:
            raise UserError(
                f"Result {number}: image {result['image_id']!r} or category "
                f"{result['category_id']!r} is not in the ground truth"
            )


def _empty(truth, image_ids: set[int]) -> dict[str, float]:
    """The figures of a detector that found nothing."""
    counted = [
        annotation["area"]
        for annotation in truth.anns.values()
        if annotation["image_id"] in image_ids and not annotation["iscrowd"]
    ]
    ranges = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}

    def has_objects(name: str) -> bool:
        low, high = ranges.get(name.partition("_")[2], (0, 1e10))
        return any(low <= area <= high for area in counted)

    return {name: 0.0 for name in _STATISTICS if has_objects(name)}
