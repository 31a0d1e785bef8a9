"""Small picture files for the tests."""

import pathlib

import numpy as np
from PIL import Image


def smooth_picture(height=24, width=32, seed=0):
    """uint8 [height, width, 3] that JPEG keeps nearly as it is, different on all sides."""
    rows, columns = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    phases = np.random.default_rng(seed).uniform(0, 1, 3)
    channels = [rows, columns, (rows + columns) / 2]
    return np.stack(
        [np.round(55 + 200 * (c * (1 - 0.3 * p))) for c, p in zip(channels, phases, strict=True)],
        axis=2,
    ).astype(np.uint8)


def write_picture(path: pathlib.Path, height=24, width=32, seed=0):
    """Writes a picture in the format of the path's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(smooth_picture(height, width, seed)).save(path)
    return path


def write_classes(folder: pathlib.Path, classes, count=6, extension=".png"):
    """Writes `count` pictures for each class, all of them different."""
    for number, name in enumerate(classes):
        for index in range(count):
            write_picture(folder / name / f"{index}{extension}", seed=100 * number + index)
    return folder


def truncate(path: pathlib.Path, share=0.6):
    """Cuts the end of a file off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
