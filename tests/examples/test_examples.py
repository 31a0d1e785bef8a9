"""The programs in examples/, with few steps."""

import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from examples import finetune, large_images, segmentation
from tests.models.keras_networks import keras_network
from tests.models.networks import make_classifier


@pytest.fixture
def run(monkeypatch, capsys):
    def run_it(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

    return run_it


def test_segmentation_learns_masks_and_reports_flops(run):
    out = run(segmentation, "--images=8", "--epochs=1")
    iou, flops = [float(line.split(":")[1].split("%")[0]) for line in out.splitlines()[-2:]]
    assert 0 <= iou <= 100 and 10 < flops < 105


def test_masks_are_where_the_ink_is():
    images, masks = segmentation.canvases(20, seed=0)
    brightness = images.mean(-1)
    assert 0.01 < masks.mean() < 0.2
    assert brightness[masks == 1].mean() > brightness[masks == 0].mean() + 0.5


def test_large_images_draws_a_ponder_map_per_frame(run, tmp_path):
    model = make_classifier("cifar", num_classes=10)
    model.preprocessing = {"name": "unit"}
    model.save(tmp_path / "model.keras")
    out = run(
        large_images, f"--model={tmp_path / 'model.keras'}", f"--output_dir={tmp_path / 'frames'}",
        "--frames=2", "--size", 40, 56,
    )  # fmt: skip
    assert [line.split(":")[0] for line in out.splitlines()] == ["frame 0", "frame 1"]
    assert "% of its FLOPs" in out
    pictures = sorted((tmp_path / "frames").iterdir())
    assert [picture.name for picture in pictures] == ["frame000.png", "frame001.png"]
    assert np.asarray(Image.open(pictures[0])).shape == (40, 56, 3)


@pytest.mark.parametrize(
    ("program", "arguments", "end"),
    [
        ("finetune", "--images=nowhere --output_dir=1", "error: nowhere: no such folder"),
        ("finetune", "--images=nowhere --output_dir=.", 2),
        ("large_images", "--model=nowhere.keras", 2),
    ],
)
def test_mistakes_end_a_program_with_a_line(program, arguments, end, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"examples.{program}", run_name="__main__", alter_sys=True)
    assert ended.value.code == end
    said = capsys.readouterr().err.splitlines()
    assert not said or said[-1].endswith(("--output_dir=.: exists", "nowhere.keras: no such file"))


def test_finetune_exports_a_network_of_its_own_classes(run, tmp_path):
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 255, [40, 50, 3], np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    keras_network(units=(2, 5)).save(tmp_path / "pretrained.keras")
    version = tmp_path / "export" / "1"
    out = run(
        finetune, f"--images={tmp_path / 'photos'}", f"--output_dir={version}",
        f"--weights={tmp_path / 'pretrained.keras'}", "--image_size=64", "--batch_size=2",
        "--epochs=1", "--steps=2", "--flops_budget=0.99",
    )  # fmt: skip
    assert "% of the plain network's" in out
    assert (version / "assets" / "class_names.txt").read_text() == "cat\ndog\n"
