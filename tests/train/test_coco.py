"""The detection program, from config to report."""

import io
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sact_tf.detection.data import DigitScenes
from sact_tf.errors import UserError
from sact_tf.training.config.loading import load_config
from sact_tf.training.detection import builders
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.loading import load_detector
from sact_tf.training.detection.task import DetectionTask
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.directory import RunDirectory
from tests.training import running
from tests.training.detection_running import write_detector_config


def load(path, *overrides):
    return load_config(DetectionConfig, path, overrides)


def load_coco(folder, train, validation):
    """Each split: the file of annotations, and the folder of images."""
    return load(
        write_detector_config(folder),
        "runtime.deterministic=false",
        "data={source: coco, digit_scenes: null, coco: "
        f"{{train_annotations: {train[0]}, train_images: {train[1]}, "
        f"validation_annotations: {validation[0]}, validation_images: {validation[1]}}}}}",
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a tiny run by a real process. Not to be changed."""
    directory = tmp_path_factory.mktemp("detector")
    config = write_detector_config(directory)
    result = running.run("coco", f"--config={config}", f"--model_dir={directory / 'run'}")
    assert result.returncode == 0, result.stderr
    (directory / "run" / "stdout.txt").write_text(result.stdout)
    return directory / "run"


def test_a_run_says_and_writes_its_results(finished):
    metrics = running.read_metrics(finished)
    assert metrics["steps"] == 6 and metrics["num_examples"] == 7
    assert 0 <= metrics["mAP"] <= metrics["AP50"] <= 1
    assert metrics["extractor_flops_mean"] == pytest.approx(
        metrics["flops_ratio"] * metrics["plain_extractor_flops_mean"]
    )
    assert 0 < metrics["flops_ratio"] <= 1.2 and metrics["extractor_flops_std"] >= 0
    assert set(metrics["num_units"]) == {"block1", "block2"}
    assert all(1 <= units <= 2 for units in metrics["num_units"].values())
    assert 0 <= metrics["ponder_localization_auc"] <= 1
    out = (finished / "stdout.txt").read_text()
    assert f"{metrics['mAP']:.4f}" in out and "units per block" in out
    report = (finished / "report.html").read_text()
    assert "<h2>Detections</h2>" in report and "each beside the ponder cost map" in report
    for name in ("glance", "detections", "unit_usage", "flops", "curves"):
        assert (finished / "pictures" / f"{name}.png").stat().st_size > 5_000
    records = [json.loads(line) for line in (finished / "history.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records if r["kind"] == "validation"] == [3, 6]
    last = [r for r in records if r["kind"] == "train"][-1]
    parts = ("rpn_score", "rpn_box", "class", "box", "ponder_loss", "weight_decay")
    assert last["loss"] == pytest.approx(sum(last[part] for part in parts), rel=1e-5)


def test_predictions_score_the_same_in_pycocotools_by_itself(finished):
    data = load(finished / "config.yaml").data
    scenes = DigitScenes(**data.digit_scenes.as_dict())
    truth = COCO(str(scenes.directory / "validation.json"))
    found = json.loads((finished / "predictions.json").read_text())
    assert {entry["category_id"] for entry in found} <= set(range(1, 11))
    evaluation = COCOeval(truth, truth.loadRes(str(finished / "predictions.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    metrics = running.read_metrics(finished)
    assert [metrics["mAP"], metrics["AP50"], metrics["AP75"]] == list(evaluation.stats[:3])


def test_tensorboard_shows_detections_beside_ponder_maps(finished):
    (file, *_) = (finished / "events" / "validation").glob("events*")
    values = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        values |= {value.tag: value for value in event.summary.value}
    assert {"mAP", "AP50", "flops_ratio"} <= values.keys()
    picture = tf.make_ndarray(values["detections_and_ponder_cost/0"].tensor)
    width, height, first = picture[:3]
    assert (int(width), int(height)) == (128, 64)
    with Image.open(io.BytesIO(first)) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels[:, :64].std() > 0 and pixels[:, 64:].std() > 0


def test_evaluation_of_a_finished_run_gives_the_same_figures(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "run")
    (copy / "metrics.json").unlink()
    run = TrainingRun(DetectionTask(load(copy / "config.yaml")), RunDirectory(copy), trains=False)
    again = run.evaluate()
    before = running.read_metrics(finished)
    assert {k: again[k] for k in ("mAP", "AP50", "num_units")} == {
        k: before[k] for k in ("mAP", "AP50", "num_units")
    }
    # What the run saved is the very model.
    saved = load_detector(finished)
    for ours, theirs in zip(run.model.weights, saved.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    (copy / "model.keras").unlink()
    for ours, theirs in zip(load_detector(copy).weights, saved.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_detector_starts_from_another_one_halting_included(finished):
    config = load(finished / "config.yaml", "train.seed=5")
    data = builders.build_data(config.data)
    model = builders.build_model(config, data)
    source = load_detector(finished)
    assert model.warm_start(source) == {}
    for ours, theirs in zip(model.extractor[0].weights, source.extractor[0].weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.large
def test_a_run_that_was_stopped_ends_at_the_same_weights(finished, tmp_path):
    config = write_detector_config(tmp_path)
    arguments = [f"--config={config}", f"--model_dir={tmp_path / 'run'}"]
    data = f"--params_override=data.digit_scenes.data_dir={finished.parent / 'data'}"
    for steps in (3, 6):
        schedule = "train.learning_rate={schedule: constant, initial: 0.02}"
        result = running.run(
            "coco", *arguments, data, f"--params_override=train.steps={steps},{schedule}"
        )
        assert result.returncode == 0, result.stderr
    whole = [f"--config={config}", f"--model_dir={tmp_path / 'whole'}", data]
    result = running.run("coco", *whole, f"--params_override={schedule}")
    assert result.returncode == 0, result.stderr
    stopped, unbroken = (load_detector(tmp_path / name) for name in ("run", "whole"))
    for ours, theirs in zip(stopped.weights, unbroken.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nonsense_in_the_annotations_is_named(tmp_path):
    from tests.detection.coco_files import annotation, write_set

    files = write_set(tmp_path, {1: (30, 40)}, [annotation(7, 1, [50, 2, 3, 4])])
    config = load_coco(tmp_path, files, files)
    with pytest.raises(UserError, match="annotation 7 of image 1.*outside the image of 40 x 30"):
        TrainingRun(DetectionTask(config), RunDirectory(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["training", "validation"])
def test_a_split_without_images_is_named(tmp_path, split):
    from tests.detection.coco_files import write_many, write_set

    some, none = write_many(tmp_path / "some"), write_set(tmp_path / "none", {}, [])
    files = (none, some) if split == "training" else (some, none)
    with pytest.raises(UserError, match=f"the {split} split has no images"):
        TrainingRun(
            DetectionTask(load_coco(tmp_path, *files)), RunDirectory(tmp_path / "run")
        ).train()
