"""Training images that are nearly black or of one value are counted in one warning."""

import logging

import numpy as np
import pytest
from PIL import Image

from sact_tf.data import ImageFolder
from tests.data.picture_files import smooth_picture


def picture(kind, seed):
    """A picture of 40 x 60 pixels."""
    full = smooth_picture(40, 60, seed=seed)
    grey = full[..., 0]
    black = np.zeros_like(full)
    dot = black.copy()
    dot[20, 31] = 255  # Between the pixels that are looked at first.
    return {
        "good": full,
        "10 bits": grey.astype(np.uint16) << 2,
        "12 bits": grey.astype(np.uint16) << 4,
        "16 bits": grey.astype(np.uint16) << 8,
        "0 to 1": (grey > 100).astype(np.uint8),
        "black": black,
        "red": black + np.uint8([200, 10, 0]),
        "line drawing": (grey > 100).astype(np.uint8) * 255,
        "a dot": dot,
    }[kind]


@pytest.fixture
def warnings(tmp_path, caplog):
    """The warnings about 20 images, of which some are of a kind."""

    def build(kind, number, **options):
        for index in range(20):
            for split in ("train", "held out"):
                folder = tmp_path / split / ("cat" if index % 2 else "dog")
                folder.mkdir(parents=True, exist_ok=True)
                chosen = kind if index < number and split == "train" else "good"
                seed = index if split == "train" else 100 + index
                Image.fromarray(picture(chosen, seed)).save(folder / f"{index:02d}.png")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            ImageFolder(tmp_path / "train", tmp_path / "held out", **options)
        return [r.getMessage() for r in caplog.records if "grey levels" in r.getMessage()]

    return build


@pytest.mark.parametrize("kind", ["10 bits", "12 bits", "0 to 1", "black", "red"])
def test_images_of_few_levels_are_one_line_with_their_number(warnings, kind):
    (line,) = warnings(kind, 3)
    of_one_value = 3 if kind in ("black", "red") else 0
    assert line.startswith("3 of 20 training images looked at use at most 16 of the 256 grey")
    assert f"({of_one_value} are of one value)" in line and "train/cat/01.png" in line


@pytest.mark.parametrize("kind", ["good", "16 bits", "line drawing", "a dot"])
def test_other_images_are_not_doubted(warnings, kind):
    assert warnings(kind, 20) == []


def test_of_large_sets_a_sample_is_looked_at(warnings, monkeypatch):
    monkeypatch.setattr("sact_tf.data.pipeline.grey_levels._SAMPLE", 5)
    (line,) = warnings("12 bits", 20, check_files=False)
    assert line.startswith("5 of 5 training images looked at")
