"""The export of a run, by the program."""

import re

import pytest
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.training.images.export import parse_preprocessing
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
    result = running.run(*arguments, f"--output_dir={output}", "--execution=auto", size)
    assert result.returncode == 0, result.stderr
    assert "tuned for 3 at once, 24x24;" in result.stdout
    assert len(re.findall(r"^  block\d: rows [\d.]+ \+ [\d.]+ x share", result.stdout, re.M)) == 3
    result = running.run(*arguments, f"--output_dir={tmp_path / 'digits' / '2'}")
    assert result.returncode == 2 and "expected --execution=tiled or auto" in result.stderr


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
