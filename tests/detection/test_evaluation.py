"""Average precision against hand-computed cases, and against pycocotools by itself."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sact_tf.detection.evaluation import coco_results, evaluate_detections
from sact_tf.errors import UserError
from tests.detection.coco_files import annotation, content, write_json

_ONE = content(
    {1: (100, 100)}, [annotation(1, 1, [10, 10, 40, 40], area=1600, iscrowd=0)], [{"id": 3}]
)


def result(bbox, score=0.5, image_id=1, category_id=3):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": score}


def test_an_overlap_of_three_quarters():
    # 40 x 40 against 40 x 30 inside of it: an intersection over union of exactly 0.75.
    scores = evaluate_detections(_ONE, [result([10, 10, 40, 30])])
    assert scores["AP50"] == scores["AP75"] == pytest.approx(1.0)
    assert scores["mAP"] == pytest.approx(6 / 10)  # 0.50, 0.55, ... 0.75 of the ten.
    assert "AP_small" not in scores and "AP_large" not in scores
    assert scores["AP_medium"] == scores["mAP"]


def test_a_wrong_detection_before_the_right_one_halves_precision():
    found = [result([60, 60, 20, 20], 0.9), result([10, 10, 40, 40], 0.8)]
    assert evaluate_detections(_ONE, found)["AP50"] == pytest.approx(0.5)


def test_a_crowd_is_neither_found_nor_missed():
    truth = json.loads(json.dumps(_ONE))
    truth["annotations"].append(annotation(2, 1, [60, 0, 40, 100], area=4000, iscrowd=1))
    found = [result([10, 10, 40, 40], 0.5), result([65, 10, 10, 20], 0.9)]
    assert evaluate_detections(truth, found)["mAP"] == pytest.approx(1.0)


def test_nothing_found_and_nothing_to_find():
    scores = evaluate_detections(_ONE, [])
    assert scores["mAP"] == scores["AP50"] == scores["AP_medium"] == scores["AR100"] == 0
    assert "AP_small" not in scores
    empty = content({1: (9, 9)}, [], [{"id": 3}])
    assert evaluate_detections(empty, []) == {}
    assert evaluate_detections(empty, [result([0, 0, 2, 2])]) == {}


def test_only_the_images_asked_for_count():
    truth = content(
        {1: (99, 99), 2: (99, 99)},
        [annotation(i, i, [0, 0, 9, 9], area=81, iscrowd=0) for i in (1, 2)],
        [{"id": 3}],
    )
    found = [result([0, 0, 9, 9])]
    assert evaluate_detections(truth, found, [1])["mAP"] == pytest.approx(1.0)
    assert evaluate_detections(truth, found)["mAP"] < 0.6


def test_truth_without_info_is_scored(monkeypatch):
    # pycocotools 2.0.9 and 2.0.10 copy it from the truth into the results; it is no part of _ONE.
    load, seen = COCO.loadRes, []
    monkeypatch.setattr(
        COCO, "loadRes", lambda self, found: seen.append(self.dataset["info"]) or load(self, found)
    )
    assert evaluate_detections(_ONE, [result([10, 10, 40, 40])])["mAP"] == pytest.approx(1.0)
    assert seen == [{}] and "info" not in _ONE


def _batch():
    return {
        "boxes": np.array([[[10, 20, 30, 60], [-4, 4, 5, 8]], [[0, 0, 100, 100], [0] * 4]], "f"),
        "classes": np.array([[1, 0], [0, -1]]),
        "scores": np.array([[0.75, 0.5], [0.25, 0]], "f"),
        "num_detections": np.array([2, 1]),
    }


def test_results_are_in_original_pixels_and_categories():
    found = coco_results(
        _batch(), np.array([7, 9]), np.array([[2, 4], [1, 1]]), [[100, 100], [50, 80]], [3, 90]
    )
    assert found == [
        {"image_id": 7, "category_id": 90, "bbox": [5, 5, 10, 10], "score": 0.75},
        {"image_id": 7, "category_id": 3, "bbox": [1, 0, 1, 2.5], "score": 0.5},
        {"image_id": 9, "category_id": 3, "bbox": [0, 0, 80, 50], "score": 0.25},
    ]
    json.dumps(found)


def test_pycocotools_by_itself_gives_the_same_figures(tmp_path):
    generator = np.random.default_rng(0)
    objects, found = [], []
    for number in range(1, 41):
        box = [float(v) for v in (*generator.uniform(0, 60, 2), *generator.uniform(5, 40, 2))]
        image, category = int(generator.integers(1, 6)), int(generator.choice([3, 7]))
        area = box[2] * box[3]
        objects.append(annotation(number, image, box, category, area=area, iscrowd=0))
        noisy = [v + float(generator.normal(0, 2)) for v in box[:2]] + box[2:]
        found.append(result(noisy, float(generator.uniform()), image, category))
    truth = content({i: (100, 100) for i in range(1, 6)}, objects)
    files = [write_json(tmp_path / "t.json", truth), write_json(tmp_path / "r.json", found)]
    ours = evaluate_detections(*files)
    reference = COCO(str(files[0]))
    reference.dataset["info"] = {}  # Needed by pycocotools 2.0.9 and 2.0.10.
    theirs = COCOeval(reference, reference.loadRes(str(files[1])), "bbox")
    theirs.evaluate()
    theirs.accumulate()
    theirs.summarize()
    assert 0.2 < ours["mAP"] < 0.9
    assert [ours["mAP"], ours["AP50"], ours["AP75"], ours["AP_small"], ours["AP_medium"]] == list(
        theirs.stats[:5]
    )
    assert ours["AR100"] == theirs.stats[8] and "AP_large" not in ours


def test_files_may_begin_with_a_byte_order_mark(tmp_path):
    truth = content({1: (100, 100)}, [annotation(1, 1, [5, 5, 20, 20], area=400, iscrowd=0)])
    files = [
        write_json(tmp_path / "t.json", truth),
        write_json(tmp_path / "r.json", [result([5, 5, 20, 20], 0.5, 1)]),
    ]
    for file in files:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert evaluate_detections(*files)["mAP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"a": 1}, [{"image_id": 1}], [result([0, 0, 1, 1], image_id=5)],
     [result([0, 0, 1, 1], category_id=5)]],
)  # fmt: skip
def test_results_that_do_not_belong_there(wrong):
    with pytest.raises(UserError, match=r"[Rr]esult"):
        evaluate_detections(_ONE, wrong)
