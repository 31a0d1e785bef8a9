"""The export of a run, by the program."""

import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import sact_tf
from sact_tf.errors import UserError
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.images.export import export_model, parse_preprocessing
from sact_tf.training.images.network_inputs import network_inputs
from tests.data.picture_files import write_picture
from tests.training import running


@pytest.fixture
def log_level_of_users(monkeypatch):
    """The tests' own hides more, or less, than what people have set: nothing."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")


def test_program_exports_a_run(finished_run, tmp_path, log_level_of_users):
    output = tmp_path / "digits" / "1"
    result = running.run(
        "export", f"--model={finished_run}", f"--output_dir={output}", "--execution=tiled",
        "--top=2",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    kind, difference, written, _, command = result.stdout.splitlines()[-5:]
    assert "tiled execution, 10 classes" in kind
    assert difference.startswith("largest difference to the model in memory: ")
    assert written == f"written: {output}"
    assert f"sact_tf.serving.rest --export_dir={output.parent} " in command
    assert tf.saved_model.contains_saved_model(str(output))


def test_program_tunes_what_it_exports(finished_run, tmp_path):
    for number in range(3):
        write_picture(tmp_path / "photos" / f"{number}.png", 16, 16, seed=number)
    arguments = ["export", f"--model={finished_run}", f"--tune={tmp_path / 'photos'}"]
    output = tmp_path / "digits" / "1"
    size = "--preprocessing={name: unit, image_size: 24}"  # 16 in the model
    result = running.run(*arguments, f"--output_dir={output}", size)
    assert result.returncode == 0, result.stderr
    assert "auto execution, 10 classes" in result.stdout
    assert "tuned for 3 at once, 24x24;" in result.stdout
    assert len(re.findall(r"^  block\d: rows [\d.]+ \+ [\d.]+ x share", result.stdout, re.M)) == 3
    with pytest.raises(UserError, match="expected --execution=tiled or auto"):
        export_model(
            str(finished_run), str(tmp_path / "2"), None, images=str(tmp_path), execution="masked"
        )
    assert not (tmp_path / "2").exists()


def test_a_folder_of_classes_gives_images_of_each(tmp_path):
    for number, name in enumerate(("ant", "bee", "cat")):
        for file in range(5):
            path = tmp_path / name / f"{file}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (100 * number,) * 3).save(path)
    images = network_inputs(None, str(tmp_path), 3, preprocessing={"name": "unit"})
    np.testing.assert_allclose([image.mean() * 255 for image in images], [0, 100, 200], atol=1)
    assert len(network_inputs(None, str(tmp_path), 14, preprocessing={"name": "unit"})) == 14


@pytest.mark.parametrize(
    ("timing", "model_is", "expected"),
    [
        ({"one_image": {"execution": "tiled"}, "batch": {"execution": "masked"}}, None, "tiled"),
        ({}, None, "masked"),  # as trained
        ({"one_image": {"execution": "tiled"}}, "static", "static"),  # as its owner has set it
    ],
)
def test_the_fastest_execution_of_the_run_is_exported(
    timing, model_is, expected, finished_run, tmp_path, capsys
):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(finished_run / "model.keras", run)
    if model_is:
        model = load_classifier(run)
        sact_tf.set_execution(model, model_is).save(run / "model.keras")
    (run / "metrics.json").write_text(json.dumps({"timing": timing}))
    export_model(str(run), str(tmp_path / "1"), None)
    assert f"classifier, {expected} execution, " in capsys.readouterr().out


def test_a_plain_network_is_exported_as_it_is(tmp_path, capsys):
    backbone = sact_tf.models.ResNetBackbone.cifar(units_per_block=1, base_channels=4)
    model = sact_tf.models.ImageClassifier(
        backbone, 2, preprocessing={"name": "unit", "image_size": 16}
    )
    model.save(tmp_path / "model.keras")
    timing = {"one_image": {"execution": "plain"}}
    (tmp_path / "metrics.json").write_text(json.dumps({"timing": timing}))
    export_model(str(tmp_path), str(tmp_path / "1"), None)
    assert "written: " in capsys.readouterr().out


def test_program_writes_an_onnx_file(finished_run, tmp_path, log_level_of_users):
    pytest.importorskip("tf2onnx")
    output = tmp_path / "digits.onnx"
    flags = ["export", f"--model={finished_run}", f"--output={output}", "--execution=tiled"]
    result = running.run(*flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert "tiled execution, 10 classes" in result.stdout
    assert result.stdout.endswith(f"written: {output}\n") and output.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "one of (output_dir, output)"),
        (["--output=m.onnx", "--output_dir=m/1"], "one of (output_dir, output)"),
        (["--output=m.tflite"], "m.tflite: expected a file name that ends in .onnx"),
        (["--output_dir=m/1", "--ponder_map"], "--ponder_map is for --output"),
        (["--output=m.onnx", "--tune=*.jpg"], "--tune is for --output_dir"),
    ],
)
def test_what_to_write_is_checked_first(given, message, tmp_path):
    result = running.run("export", "--model=nothing", *given)
    assert result.returncode == 2 and message in result.stderr, result.stderr


def test_preprocessing_is_yaml():
    assert parse_preprocessing(None) is None
    assert parse_preprocessing("{name: unit, image_size: 64}") == {"name": "unit", "image_size": 64}
    for text, message in [("{name", "no YAML"), ("unit", "expected a mapping, received 'unit'")]:
        with pytest.raises(UserError, match=f"--preprocessing={text}: {message}"):
            parse_preprocessing(text)
