"""The export of a run, by the program."""

import pytest
import tensorflow as tf

from sact_tf.errors import UserError
from tests.data.picture_files import write_picture
from tests.training import running
from train.export import parse_preprocessing


def test_program_exports_a_run(finished_run, tmp_path):
    output = tmp_path / "digits" / "1"
    result = running.run(
        "export", f"--model={finished_run}", f"--output_dir={output}", "--execution=tiled",
        "--top=2",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
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
    result = running.run(*arguments, f"--output_dir={output}", "--execution=auto")
    assert result.returncode == 0, result.stderr
    assert "tuned for 3 at once, 16x16\n  block1: {'rows': " in result.stdout
    result = running.run(*arguments, f"--output_dir={tmp_path / 'digits' / '2'}")
    assert result.returncode == 2 and "expected --execution=tiled or auto" in result.stderr


def test_preprocessing_is_yaml():
    assert parse_preprocessing(None) is None
    assert parse_preprocessing("{name: unit, image_size: 64}") == {"name": "unit", "image_size": 64}
    for text, message in [("{name", "no YAML"), ("unit", "expected a mapping, received 'unit'")]:
        with pytest.raises(UserError, match=f"--preprocessing={text}: {message}"):
            parse_preprocessing(text)
