"""Batches of held-out images, and turns on them."""

import time

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.layers.execution import EXECUTIONS
from sact_tf.training.config.loading import load_config
from sact_tf.training.detection import builders
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.evaluator import DetectionEvaluator
from sact_tf.training.errors import Preempted
from sact_tf.training.loop import inference_time as module
from sact_tf.training.loop.inference_time import (
    beside_plain,
    image_batches,
    inference_time,
    time_networks,
    times_of,
)
from sact_tf.training.reports.times import time_table
from tests.training import detection_running, running

_NOT_DETERMINISTIC = "runtime.deterministic=false"


def numbered(count, size=2):
    return [np.full([size, size, 3], number, np.float32) for number in range(count)]


def numbers_in(batches):
    return [batch.numpy()[:, 0, 0, 0].tolist() for batch in batches]


def test_batches_are_taken_evenly_from_all_images():
    assert numbers_in(image_batches(numbered(9), 1, 3)) == [[0], [4], [8]]
    assert numbers_in(image_batches(numbered(7), 2, 2)) == [[0, 2], [4, 6]]
    assert numbers_in(image_batches(numbered(5), 2, 99)) == [[0, 1], [3, 4]]


def test_too_few_images_and_images_of_two_sizes_are_refused():
    with pytest.raises(UserError, match="there are only 3 images"):
        image_batches(numbered(3), 4, 1)
    mixed = numbered(2) + numbered(2, size=4)
    with pytest.raises(UserError, match="differ in size"):
        image_batches(mixed, 2, 1)
    assert [batch.shape[1] for batch in image_batches(mixed, 1, 4)] == [2, 2, 4, 4]


def test_all_networks_meet_the_same_images_in_a_turn():
    seen = {"one": [], "other": []}
    networks = {
        name: lambda images, name=name: seen[name].append(int(images[0, 0, 0, 0])) for name in seen
    }
    batches = image_batches(numbered(6), 2, 3)
    times = time_networks(networks, batches, turns=4)
    assert seen["one"] == seen["other"] and set(seen["one"]) == {0, 2, 4}
    assert [len(values) for values in times.values()] == [4, 4]


def test_times_are_per_image(monkeypatch):
    monkeypatch.setattr(
        "sact_tf.training.loop.inference_time.interleaved",
        lambda functions, turns, seconds: {name: [12.0, 6.0] for name in functions},
    )
    batches = image_batches(numbered(3), 3, 1)
    assert time_networks({"one": print}, batches, turns=2) == {"one": [4.0, 2.0]}


@pytest.fixture
def fake_networks(monkeypatch):
    """Networks that do nothing but take their milliseconds per call; returns the batches."""
    called = []

    def network(milliseconds):
        def call(images):
            called.append(images.shape[0])
            time.sleep(milliseconds / 1e3)

        return call

    def networks(model, batches):
        return {name: network(milliseconds) for name, milliseconds in model.items()}

    monkeypatch.setattr(module, "compile_executions", networks)
    return called


def test_the_fastest_execution_stands_for_the_network(fake_networks):
    times = inference_time({"plain": 20, "masked": 40, "tiled": 5}, numbered(3), 4)
    assert times["processor"] and times["threads"] >= 1
    for key, size in (("one_image", 1), ("batch", 4)):
        found = times[key]
        assert (found["batch_size"], found["execution"]) == (size, "tiled")
        assert found["milliseconds_per_image"] * size >= 5
        assert found["plain_milliseconds_per_image"] * size >= 20
        assert found["time_ratio_min"] <= found["time_ratio"] <= found["time_ratio_max"] < 1
    assert set(fake_networks) == {1, 4}  # of three images one stands twice in the batch
    assert [each["batch_size"] for each in times_of({"timing": times})] == [1, 4]


@pytest.mark.parametrize(
    ("quartiles", "shown"), [((1.05, 1.15), "1.10"), ((1.0, 1.4), "1.10 (1.00 - 1.40, noisy)")]
)
def test_a_ratio_that_varies_is_shown_with_its_quartiles(quartiles, shown):
    times = {
        "plain_milliseconds_per_image": 3.14, "execution": "tiled", "time_ratio": 1.1,
        "time_ratio_min": quartiles[0], "time_ratio_max": quartiles[1],
    }  # fmt: skip
    assert beside_plain(times) == f"{shown} of the plain network's 3.14 ms, tiled, "


@pytest.mark.parametrize(("in_batches", "said"), [(0.9, False), (1.2, True)])
def test_a_report_says_that_halting_gains_no_time_where_it_does_not(in_batches, said):
    def of(batch_size, ratio):
        quartiles = {"time_ratio_min": ratio, "time_ratio_max": ratio}
        return {
            "batch_size": batch_size, "execution": "tiled", "milliseconds_per_image": 1.0,
            "plain_milliseconds_per_image": 1.0, "time_ratio": ratio, **quartiles,
        }  # fmt: skip

    timing = {"processor": "p", "threads": 2, "one_image": of(1, 1.1), "batch": of(8, in_batches)}
    page = time_table({"halting": "sact", "timing": timing})
    assert ("Halting gains no time here." in page) == said


def test_a_plain_network_is_its_own_measure(fake_networks):
    times = inference_time({"plain": 1}, numbered(1), 2)
    assert times["batch"]["execution"] == "plain" and times["batch"]["time_ratio"] == 1


def test_a_call_that_would_take_long_gets_fewer_images(fake_networks, monkeypatch):
    monkeypatch.setattr(module, "_CALL_MILLISECONDS", 100)
    times = inference_time({"plain": 30}, numbered(4), 16)
    assert 1 < times["batch"]["batch_size"] <= 3
    monkeypatch.setattr(module, "_CALL_MILLISECONDS", 10)
    assert "batch" not in inference_time({"plain": 30}, numbered(4), 16)


def test_images_of_two_sizes_are_measured_one_at_a_time(fake_networks):
    times = inference_time({"plain": 1}, numbered(1) + numbered(1, size=4), 2)
    assert "one_image" in times and "batch" not in times
    assert times_of({}) == [] and len(times_of({"timing": times})) == 1


def test_times_that_cannot_be_measured_cost_nothing_else(prepare, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(module, "compile_executions", fail)
    run = prepare("evaluation.time=true")
    run.train(evaluates=False)
    metrics = run.evaluate()
    assert "timing" not in metrics and running.read_metrics(run.directory.path) == metrics
    assert "RuntimeError: out of memory" in caplog.text


def test_being_asked_to_stop_is_no_failure_of_measuring(monkeypatch):
    def stopped(*_):
        raise Preempted

    monkeypatch.setattr(module, "_measured", stopped)
    with pytest.raises(Preempted):
        inference_time(None, [], 1)


def test_a_run_is_timed_at_its_end(prepare, monkeypatch):
    """Its metrics and its report say it; of the averaged weights, and the model is unharmed."""
    monkeypatch.setattr(module, "_TURNS", 4)
    seen = []
    compiled = module.compile_executions

    def seeing(model, batches):
        seen.append(model.get_weights()[0].copy())
        return compiled(model, batches)

    monkeypatch.setattr(module, "compile_executions", seeing)
    run = prepare("evaluation.time=true", "train.weight_average.decay=0.5")
    run.train(evaluates=True)
    before = run.model.get_weights()
    timing = run.evaluate()["timing"]
    assert timing == running.read_metrics(run.directory.path)["timing"]
    assert timing["one_image"]["batch_size"] == 1 and timing["batch"]["batch_size"] == 16
    for times in times_of({"timing": timing}):
        assert times["execution"] in EXECUTIONS and times["milliseconds_per_image"] > 0
    for one, other in zip(run.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(seen) == 1 and np.abs(seen[0] - before[0]).max() > 0
    page = run.directory.report.read_text()
    for text in (timing["processor"], "16 at once", "one at a time", "Time per image"):
        assert text in page
    for times in times_of({"timing": timing}):
        assert f"<td>{times['milliseconds_per_image']:.3g}</td>" in page
        assert f"{times['time_ratio']:.2f} (" in page


def test_a_plain_run_is_not_compared_with_itself(prepare, monkeypatch):
    monkeypatch.setattr(module, "_TURNS", 2)
    run = prepare("evaluation.time=true", "model.halting=null,model.ponder_weight=null")
    run.train(evaluates=False)
    metrics = run.evaluate()
    page = run.directory.report.read_text()
    for times in times_of(metrics):
        assert f"<td>{times['milliseconds_per_image']:.3g}</td>" in page
    assert "of plain" not in page and "FLOPs of the plain network" not in page
    assert not [line for line in run.task.summary(metrics) if "plain" in line]


def test_a_run_need_not_be_timed(prepare):
    run = prepare("evaluation.time=false")
    run.train(evaluates=False)
    assert "timing" not in run.evaluate()
    assert "Time per image" not in run.directory.report.read_text()


def test_a_detector_is_timed_on_what_its_evaluator_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_TURNS", 2)
    config = load_config(
        DetectionConfig, detection_running.write_detector_config(tmp_path), [_NOT_DETERMINISTIC]
    )
    data = builders.build_data(config.data)
    evaluator = DetectionEvaluator(builders.build_model(config, data), data, 3, num_samples=3)
    evaluator.evaluate(tf.constant(-1))
    kept = evaluator.kept_images()
    held_out = [batch["image"].numpy()[0] for batch in data.evaluation(1)]
    for image, number in zip(kept, (0, 2, 4), strict=True):
        np.testing.assert_array_equal(image, held_out[number])
    times = inference_time(evaluator.model, kept, 2)
    assert [found["batch_size"] for found in times_of({"timing": times})] == [1, 2]
