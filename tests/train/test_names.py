"""Files and classes of any name, from training to every program that shows them."""

import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.serving.export import export
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import load_config
from sact_tf.training.loop.train_and_evaluate import train_and_evaluate
from sact_tf.training.run_directory.directory import RunDirectory
from tests.training import running

# A formula to matplotlib, no UTF-8, in few fonts, markup.
_NAMES = ["$1_a_b", "caf\udce9", "猫", "<b>  &"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
    """A run on classes of these names, trained and evaluated in this process."""
    directory = tmp_path_factory.mktemp("names") / "my  photos #1 猫"
    for number, name in enumerate(_NAMES):
        for index in range(8):
            folder = directory / ("train" if index < 4 else "held out") / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.full([18, 18, 3], 60 * number + index, np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}{index}.png")
    config = load_config(
        ClassificationConfig,
        running.write_config(directory),
        [
            "runtime.deterministic=false,train.steps=2,train.batch_size=4,evaluation.every=null",
            "data.source=image_folder,data.cluttered_digits=null",
            f"data.image_folder.train_dir={directory / 'train'}",
            f"data.image_folder.validation_dir={directory / 'held out'}",
            "data.preprocessing={name: scale, image_size: 16}",
        ],
    )
    train_and_evaluate(ClassificationTask(config), RunDirectory(directory / "run"))
    return directory / "run"


def _finished(program, *arguments):
    """Runs a program whose terminal knows ASCII alone."""
    process = running.start(program, *arguments, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return out


def test_a_run_has_its_report_and_pictures(run):
    page = (run / "report.html").read_text("utf-8")
    assert "could not be drawn" not in page and "my  photos #1" in page
    assert {file.name for file in (run / "pictures").iterdir()} > {"gallery.png"}
    assert load_classifier(run).class_names == sorted(_NAMES)


def test_predict(run, tmp_path):
    out = _finished(
        "predict", f"--model={run}", f"--images={run.parent / 'train'}",
        f"--json={tmp_path / 'a.json'}",
    )  # fmt: skip
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    assert len(images) == 16 and all(pathlib.Path(image["path"]).is_file() for image in images)
    assert {entry["class"] for entry in images[0]["predictions"]} == set(_NAMES)
    assert r"\u732b" in out and r"caf\udce9" in out


def test_ponder_maps(run, tmp_path):
    out = _finished(
        "ponder_maps", f"--model={run}", f"--images={run.parent / 'train'}",
        f"--output_dir={tmp_path}",
    )  # fmt: skip
    page = (tmp_path / "index.html").read_text("utf-8")
    assert r"caf\xe9" in page and "猫" in page and "&lt;b&gt;  &amp;" in page
    assert r"at 16\xd716" in out and len(running.read_metrics(tmp_path)["images"]) == 16


def test_export(run, tmp_path):
    folder = tmp_path / "1"
    with pytest.raises(UserError, match=r"xff/1: TensorFlow writes to paths of UTF-8 only"):
        export(load_classifier(run), tmp_path / "\udcff" / "1")
    export(load_classifier(run), folder)
    assert (folder / "assets" / "class_names.txt").read_text("utf-8").splitlines() == [
        "$1_a_b", "<b>  &", r"caf\xe9", "猫",
    ]  # fmt: skip
