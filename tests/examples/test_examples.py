"""The programs in examples/, with few steps."""

import sys

import numpy as np
import pytest
from PIL import Image

from examples import large_images, segmentation
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
    shares = [float(line.split(":")[1].split("%")[0]) for line in out.splitlines()[-3:]]
    assert all(0 <= share <= 100 for share in shares[:2]) and 10 < shares[2] < 105


def test_masks_are_where_the_digits_are():
    images, masks = segmentation.canvases(20, seed=0)
    ink = images.mean(-1)
    digits = masks != segmentation.BACKGROUND
    assert 0.01 < digits.mean() < 0.2
    assert ink[digits].mean() > ink[~digits].mean() + 0.5


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
