"""Where a classifier spends its computation on photographs of any size (figures 8 and 9)."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from sact_tf import paths
from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import pixel_scaling_function
from sact_tf.files import atomic_path, atomic_write_json, atomic_write_text
from sact_tf.models import ImageClassifier
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.images import index_page
from sact_tf.training.images.files import ImageFiles
from sact_tf.visualization import figures, ponder_maps

_PANEL = 2.1  # Inches.
_SHORTEST_OVERLAY = 300  # Pixels; tiny images are enlarged so that one sees something.

_FLAT = {
    None: "This network does not halt: it spends the same on every position.",
    "act": "ACT decides for whole images: every map has one value.",
}

Limits = Mapping[str, tuple[float, float]]


def draw_ponder_maps(
    model: str | os.PathLike,
    images: str,
    output_dir: str | os.PathLike,
    short_side: int | None = None,
    long_side: int = 1600,
) -> int:
    """Writes the ponder cost maps of image files, and a page that shows them.

    Prints a line for each image. A file that is no readable image is named on stderr and skipped.

    Args:
        model: see `load_classifier`.
        images: see `find_images`.
        output_dir: for `index.html`, `metrics.json` and the pictures.
        short_side, long_side: see `ImagePonder`.

    Returns:
        How many files were skipped.

    Raises:
        UserError: an argument is unusable.
    """
    files = ImageFiles(images)
    directory = paths.output_directory("output_dir", output_dir)
    network = load_classifier(model)
    flat = _FLAT.get(network.halting_kind)
    if flat is not None:
        print(flat, flush=True)
    pondered = dict(files.for_each(ImagePonder(network, short_side, long_side)))
    limits = _shared_limits(pondered.values())
    names = index_page.file_names(list(pondered))
    entries, records = [], []
    with paths.writing("output_dir", directory):
        for path, shown in files.for_each(index_page.read_shown):
            image, spent = pondered[path], _spent(pondered[path])
            caption = f"{path.name} {spent}"
            maps, overlay = f"{names[path]}_maps.png", f"{names[path]}_overlay.png"
            with atomic_path(directory / maps) as temporary:
                temporary.write_bytes(maps_png(image, shown, limits))
            with atomic_path(directory / overlay) as temporary:
                overlay_image(image, shown, limits).save(temporary)
            entries.append(index_page.Entry(image.cost, maps, overlay, caption))
            records.append(_record(image, maps, overlay))
            print(f"{path} {spent}", flush=True)
        atomic_write_json(directory / "metrics.json", _metrics(records, files.skipped))
        lead = (
            f"{len(records)} images through {model}. Each row: the image, the total ponder cost "
            "over it and by itself, and the ponder cost of each block, with its mean; every column "
            "has one colour scale for all images."
        )
        if flat is not None:
            lead += f" {flat}"
        skipped = list(files.skipped.values())
        page = index_page.index_page("Ponder cost maps", lead, entries, skipped)
        atomic_write_text(directory / "index.html", page)
    print(f"index: {directory / 'index.html'}")
    return files.report_skipped()


@dataclasses.dataclass
class PonderedImage:
    """An image and what the network spent on it.

    Attributes:
        path: the file.
        input_size: (height, width) at which it entered the network.
        block_maps: ponder cost of each block, float32 [h, w]; [1, 1] where decisions are per image.
        total_map: their sum at the size of the network's input, or [1, 1].
        num_units: mean number of units per position, by block.
        flops: FLOPs spent.
        plain_flops: FLOPs of the same network without halting.
        prediction: name (or number) of the most probable class.
    """

    path: pathlib.Path
    input_size: tuple[int, int]
    block_maps: dict[str, np.ndarray]
    total_map: np.ndarray
    num_units: dict[str, float]
    flops: int
    plain_flops: int
    prediction: str

    @property
    def cost(self) -> float:
        """Total ponder cost, mean over positions."""
        return float(self.total_map.mean())


class ImagePonder:
    """Runs a classifier on image files, the aspect ratio kept and nothing cropped.

    Args:
        model: a classifier with its preprocessing.
        short_side: pixels that the shorter side is resized to; 0 for the file's own size; None for
            the size that the model was trained with.
        long_side: pixels that the longer side is limited to.

    Raises:
        UserError: the model was saved without its preprocessing.
    """

    def __init__(
        self, model: ImageClassifier, short_side: int | None = None, long_side: int = 1600
    ):
        self._model = model
        preprocessing = model.required_preprocessing()
        self._scale = pixel_scaling_function(preprocessing)
        self._short_side = _trained_side(preprocessing) if short_side is None else short_side
        self._long_side = long_side
        self._ponder = tf.function(
            model.ponder,
            input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)],
            autograph=False,
        )

    def __call__(self, path: pathlib.Path) -> PonderedImage:
        """Reads and runs one file.

        Raises:
            UserError: it is no readable image.
        """
        image = read_image(path)
        size = self._input_size(*image.shape[:2])
        outputs = self._ponder(self._scale(_resized(image, size))[tf.newaxis])
        names = self._model.block_names
        return PonderedImage(
            path=path,
            input_size=size,
            block_maps={name: outputs[name]["ponder_cost"][0].numpy() for name in names},
            total_map=outputs["ponder_cost_map"][0].numpy(),
            num_units={name: float(outputs[name]["num_units"].numpy().mean()) for name in names},
            flops=int(outputs["flops"][0]),
            plain_flops=self._model.plain_flops(*size),
            prediction=self._model.class_name(int(tf.argmax(outputs["logits"][0]))),
        )

    def _input_size(self, height: int, width: int) -> tuple[int, int]:
        scale = self._short_side / min(height, width) if self._short_side else 1.0
        scale = min(scale, self._long_side / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


def _trained_side(preprocessing: dict[str, Any]) -> int:
    size = preprocessing.get("image_size")
    if size is None:
        return 224 if preprocessing["name"] == "imagenet" else 0
    return size if isinstance(size, int) else min(size)


def _resized(image: np.ndarray, size: tuple[int, int]) -> tf.Tensor:
    if image.shape[:2] == size:
        return tf.cast(image, tf.float32)
    # Photographs shrink by ten and more: without antialiasing they turn into noise.
    return tf.image.resize(image, size, antialias=True)


def _shared_limits(images: Iterable[PonderedImage]) -> Limits:
    maps: dict[str, list[np.ndarray]] = {}
    for image in images:
        for name, ponder_map in {"total": image.total_map, **image.block_maps}.items():
            maps.setdefault(name, []).append(ponder_map)
    return {name: ponder_maps.shared_limits(group) for name, group in maps.items()}


def maps_figure(
    image: PonderedImage, shown: np.ndarray, limits: Limits, theme: figures.Theme
) -> Figure:
    """Draws image, image under the total map, total map, and the map of each block.

    Args:
        image: what to draw.
        shown: the image itself, uint8 [H, W, 3].
        limits: colour scale of `total` and of each block, shared by all images of a page.
        theme: colours.
    """
    height, width = shown.shape[:2]
    maps = {"total": image.total_map, **image.block_maps}
    columns = 2 + len(maps)
    # Very long or tall images keep a readable panel.
    aspect = float(np.clip(height / width, 0.25, 2.5))
    figure = Figure(figsize=(_PANEL * columns, _PANEL * aspect + 0.75))
    axes = figure.subplots(1, columns)
    extent = (0, width, height, 0)
    overlaid = ponder_maps.overlay(shown, image.total_map, limits["total"])
    panels: list[tuple[str, np.ndarray, tuple[float, float] | None]]
    panels = [("image", shown, None), ("total over the image", overlaid, None)]
    for name, ponder_map in maps.items():
        colors = ponder_maps.colorize(ponder_map, limits[name])
        panels.append((f"{name}: {ponder_map.mean():.2f}", colors, limits[name]))
    for axis, (title, panel, scale) in zip(axes, panels, strict=True):
        axis.imshow(panel, extent=extent, interpolation="nearest" if scale else None)
        axis.set_title(title, fontsize=9)
        mappable = ScalarMappable(Normalize(*(scale or (0, 1))), ponder_maps.COLORMAP)
        bar = figure.colorbar(mappable, ax=axis, orientation="horizontal", fraction=0.06, pad=0.04)
        bar.outline.set_edgecolor(theme.muted)
        bar.ax.tick_params(labelsize=7)
        bar.ax.grid(False)
        # Also where there is nothing to explain, so that all panels stand in one line.
        bar.ax.set_visible(scale is not None)
    for axis in axes:
        axis.set_axis_off()
    return figure


def maps_png(image: PonderedImage, shown: np.ndarray, limits: Limits) -> bytes:
    """`maps_figure` as a PNG file's bytes."""
    with figures.styled(figures.LIGHT):
        return figures.to_png(
            maps_figure(image, shown, limits, figures.LIGHT), 120, figures.LIGHT.page
        )


def overlay_image(image: PonderedImage, shown: np.ndarray, limits: Limits) -> Image.Image:
    """The total map over the image, at the size of `shown`."""
    factor = -(-_SHORTEST_OVERLAY // max(shown.shape[:2]))
    if factor > 1:
        shown = shown.repeat(factor, axis=0).repeat(factor, axis=1)
    return Image.fromarray(ponder_maps.overlay(shown, image.total_map, limits["total"]))


def _spent(image: PonderedImage) -> str:
    height, width = image.input_size
    units = ", ".join(f"{value:.2f}" for value in image.num_units.values())
    return (
        f"at {width}×{height}: ponder cost {image.cost:.2f}, units {units}, "
        f"{image.flops / image.plain_flops:.0%} of the plain network's FLOPs; seen as "
        f"{image.prediction}"
    )


def _record(image: PonderedImage, maps: str, overlay: str) -> dict[str, Any]:
    return {
        "path": str(image.path),
        "input_size": list(image.input_size),
        "ponder_cost_total": image.cost,
        "ponder_cost": {name: float(m.mean()) for name, m in image.block_maps.items()},
        "num_units": image.num_units,
        "flops": image.flops,
        "flops_ratio": image.flops / image.plain_flops,
        "prediction": image.prediction,
        "maps": maps,
        "overlay": overlay,
    }


def _metrics(records: list[dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    metrics = {
        "num_examples": len(records),
        "num_skipped": len(skipped),
        "images": records,
        "skipped": skipped,
    }
    if records:
        metrics["flops_mean"] = sum(record["flops"] for record in records) / len(records)
        metrics["flops_ratio"] = sum(record["flops_ratio"] for record in records) / len(records)
    return metrics
