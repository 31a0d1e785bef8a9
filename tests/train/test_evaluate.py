"""Evaluation of a classifier at several image sizes, by the program and its parts."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.training.classification.config import ClassificationConfig, DataConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.resolutions import (
    evaluate_at,
    evaluate_resolutions,
    held_out_images,
)
from sact_tf.training.config.loading import load_config
from sact_tf.training.loop import inference_time
from tests.training import running


@pytest.fixture(scope="module")
def data_config(finished_run):
    return load_config(ClassificationConfig, finished_run / "config.yaml").data


def test_program_evaluates_at_every_size(finished_run, data_config, tmp_path):
    result = running.run(
        "evaluate", f"--model={finished_run}", "--image_sizes=16,24", f"--output_dir={tmp_path}"
    )
    assert result.returncode == 0, result.stderr
    metrics = running.read_metrics(tmp_path)
    at_16, at_24 = metrics["evaluations"]
    assert (at_16["image_size"], at_24["image_size"]) == (16, 24)
    trained = running.read_metrics(finished_run)
    for key in ("accuracy", "recall@5", "flops_mean", "flops_std", "num_units", "num_examples"):
        assert at_16[key] == pytest.approx(trained[key]), key
    model = load_classifier(finished_run)
    assert at_24["plain_flops"] == model.plain_flops(24, 24)
    images = next(iter(held_out_images(data_config, 24, 30).dataset))["image"]
    flops = model.ponder(images)["flops"].numpy()
    assert at_24["flops_mean"] == pytest.approx(flops.mean())
    assert at_24["flops_std"] == pytest.approx(flops.std())
    line = next(line for line in result.stdout.splitlines() if line.lstrip().startswith("24 "))
    assert f"{at_24['accuracy']:.4f}" in line and f"{at_24['recall@5']:.4f}" in line
    assert f"{at_24['flops_mean'] / 1e6:.2f} ± {at_24['flops_std'] / 1e6:.2f}" in line
    assert f"{at_24['num_units']['block2']:.2f}" in line


def test_times_are_measured_at_every_size(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inference_time, "_TURNS", 3)
    evaluate_resolutions(
        finished_run, ["24"], params_override=["evaluation.time=true"], output_dir=tmp_path
    )
    (found,) = running.read_metrics(tmp_path)["evaluations"]
    times = found["timing"]["batch"]
    assert times["batch_size"] == 16 and found["timing"]["one_image"]["batch_size"] == 1
    line = capsys.readouterr().out.splitlines()[1].split()
    assert f"{times['milliseconds_per_image']:.3g}" in line and f"{times['time_ratio']:.2f}" in line


def test_cluttered_digits_are_enlarged_with_their_boxes(data_config):
    small = next(iter(held_out_images(data_config, 16, 8).dataset))
    large = next(iter(held_out_images(data_config, 48, 8).dataset))
    assert large["image"].shape == (8, 48, 48, 3)
    np.testing.assert_array_equal(large["label"], small["label"])
    np.testing.assert_allclose(large["box"], 3 * small["box"])
    np.testing.assert_allclose(large["image"], tf.image.resize(small["image"], [48, 48]), atol=1e-6)


def test_image_files_go_through_the_preprocessing_at_that_size(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = np.full([40, 30, 3], 60 * number, np.uint8)
            tf.io.write_file(str(tmp_path / name / f"{number}.png"), tf.io.encode_png(pixels))
    config = DataConfig()
    config.override(
        {
            "source": "image_folder",
            "image_folder": {"train_dir": str(tmp_path), "validation_fraction": 0.5},
            "preprocessing": {"name": "imagenet", "image_size": 224},
        },
        is_strict=False,
    )
    config.lock()
    batch = next(iter(held_out_images(config, 32, 4).dataset))
    assert batch["image"].shape[1:] == (32, 32, 3)
    assert config.preprocessing.image_size == 224


def test_mistakes_are_named(finished_run, data_config, tmp_path):
    model = load_classifier(finished_run)
    model.save(tmp_path / "alone.keras")
    alone = tmp_path / "alone.keras"
    for given, sizes, options, message in [
        (finished_run, ["16", "x"], {}, "--image_sizes: expected positive.*'16,x'"),
        (alone, ["16"], {}, "--config is needed"),
        (finished_run, ["16"], {"execution": "sparse"}, "--execution: .*sparse"),
        (finished_run, ["16"], {"output_dir": alone}, "--output_dir: .* expected a directory"),
    ]:
        with pytest.raises(UserError, match=message):
            evaluate_resolutions(given, sizes, **options)
    model.num_classes, model.class_names = 7, None
    with pytest.raises(UserError, match="model has 7 classes and the data 10"):
        evaluate_at(model, data_config, 16, 10)
