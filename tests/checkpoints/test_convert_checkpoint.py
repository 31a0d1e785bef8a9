"""From a checkpoint of the authors to a .keras file, and what is refused."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sact_tf.checkpoints import convert_checkpoint
from sact_tf.errors import UserError
from tests.checkpoints.writing import write_checkpoint

PROJECT = pathlib.Path(__file__).parents[2]

# Nothing but these two packages may be needed to use a converted model.
USE_THE_MODEL = """
import sys
import keras, numpy as np
import sact_tf
model = keras.models.load_model(sys.argv[1])
data = np.load(sys.argv[2])
report = model.ponder(data["images"])
np.savez(sys.argv[3], logits=report["logits"], flops=report["flops"],
         ponder_cost_map=report["ponder_cost_map"])
print(model.preprocessing, *model.class_names[:2], model.class_names[-1])
print(round(model.backbone.get_config()["ponder_weight"], 6))
"""


def python(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_real_checkpoint_gives_the_authors_numbers(golden, tmp_path):
    names = tmp_path / "names.txt"
    lines = "\n".join(f"class {number}" for number in range(1, 11)) + "\n"
    names.write_text(lines, encoding="utf-8-sig")  # As Windows' editor writes it.
    output = tmp_path / "models" / "sact.keras"
    done = python(
        "-m",
        "train.convert_checkpoint",
        f"--checkpoint={golden / 'tf1_checkpoint_imagenet_sact'}",
        f"--output={output}",
        f"--class_names={names}",
        "--ponder_weight=0.01",
    )
    assert done.returncode == 0, done.stderr
    for line in (
        "network     ImageNet ResNet, units 2-3-4-2; base channels 4, root channels 64",
        "halting     sact",
        "classes     11",
        "variables   269 used, all weights of the model set",
        "left over   1 training state: global_step",
    ):
        assert line in done.stdout.splitlines()
    assert [path.name for path in output.parent.iterdir()] == ["sact.keras"]

    results = tmp_path / "results.npz"
    used = python("-c", USE_THE_MODEL, output, golden / "imagenet_sact.npz", results)
    assert used.returncode == 0, used.stderr
    assert used.stdout.splitlines() == [
        "{'name': 'imagenet', 'image_size': 224} background class 1 class 10",
        "0.01",
    ]
    expected, received = np.load(golden / "imagenet_sact.npz"), np.load(results)
    for key in ("logits", "ponder_cost_map"):
        wanted = np.squeeze(expected[key])
        error = np.max(np.abs(received[key] - wanted))
        assert error <= 1e-5 * np.max(np.abs(wanted)), key
    np.testing.assert_array_equal(received["flops"], expected["flops"])


@pytest.fixture
def checkpoint(golden, tmp_path):
    """A copy of the real checkpoint, to be damaged."""
    directory = tmp_path / "checkpoint"
    shutil.copytree(golden / "tf1_checkpoint_imagenet_sact", directory)
    return directory


def truncate(path):
    os.truncate(path, path.stat().st_size * 2 // 3)


def truncated_data(directory):
    truncate(directory / "model-1234.data-00000-of-00001")
    return directory


def truncated_index(directory):
    truncate(directory / "model-1234.index")
    return directory


def missing(directory):
    return directory / "model-99"


def foreign(directory):
    write_checkpoint(directory / "other", {"dense/kernel": np.zeros([3, 4], np.float32)})
    return directory / "other"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated_data, "model-1234: cannot be read as a checkpoint"),
        (truncated_index, "model-1234: cannot be read as a checkpoint"),
        (missing, "no such checkpoint"),
        (foreign, "not a checkpoint of the authors' networks"),
    ],
)
def test_bad_checkpoints(checkpoint, tmp_path, damage, message):
    output = tmp_path / "model.keras"
    with pytest.raises(UserError, match=message):
        convert_checkpoint(damage(checkpoint), output)
    assert not output.exists()


def test_output_below_a_file(checkpoint, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    with pytest.raises(UserError, match=f"{file} is not a directory"):
        convert_checkpoint(checkpoint, file / "model.keras")
    assert file.read_text() == "kept"


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="needs Linux")
def test_output_that_cannot_be_written(checkpoint):
    # Not even root can write there.
    with pytest.raises(UserError, match="--output=/proc/model.keras: cannot be written"):
        convert_checkpoint(checkpoint, "/proc/model.keras")


def test_an_existing_model_survives_a_failure(checkpoint, tmp_path):
    output = tmp_path / "model.keras"
    output.write_bytes(b"an earlier model")
    with pytest.raises(UserError, match="cannot be read"):
        convert_checkpoint(truncated_data(checkpoint), output)
    assert output.read_bytes() == b"an earlier model"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"ponder_weight": float("nan")}, "--ponder_weight=nan: expected a number >= 0"),
        (
            {"class_names": "/nonexistent.txt"},
            "--class_names=/nonexistent.txt: cannot be read as text",
        ),
    ],
)
def test_bad_options(checkpoint, tmp_path, option, message):
    with pytest.raises(UserError, match=message):
        convert_checkpoint(checkpoint, tmp_path / "model.keras", **option)
    assert not (tmp_path / "model.keras").exists()
