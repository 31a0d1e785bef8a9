"""What a detector finds on image files, and what it spends on them, as pictures and numbers."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from sact_tf import paths
from sact_tf.data.images import read_image
from sact_tf.detection import FasterRCNN
from sact_tf.detection.preprocessing import preprocessing_function
from sact_tf.files import atomic_path, atomic_write_json, atomic_write_text
from sact_tf.training.detection.loading import load_detector
from sact_tf.training.images import index_page
from sact_tf.training.images.files import ImageFiles
from sact_tf.visualization import figures, ponder_maps
from sact_tf.visualization.detections import DetectionSample, detections_figure


def detect(
    model: str | os.PathLike, images: str, output_dir: str | os.PathLike, min_score: float = 0.5
) -> int:
    """Writes what a detector finds on image files, with pictures and a page that shows them.

    Prints a line for each image. A file that is no readable image is named on stderr and skipped.

    Args:
        model: see `load_detector`.
        images: see `find_images`.
        output_dir: for `index.html`, `detections.json` and the pictures.
        min_score: detections of a lower score are left out.

    Returns:
        How many files were skipped.

    Raises:
        UserError: an argument is unusable.
    """
    files = ImageFiles(images)
    directory = paths.output_directory("output_dir", output_dir)
    detector = ImageDetector(load_detector(model), min_score)
    detected = dict(files.for_each(detector))
    with paths.writing("output_dir", directory):
        entries, records = _write_pictures(detected, files, directory)
        lead = (
            f"{len(records)} images through {model}: detections of a score of at least "
            f"{min_score:g}, beside the ponder cost of the feature extractor."
        )
        content = {"model": os.fspath(model), "images": records, "skipped": files.skipped}
        atomic_write_json(directory / "detections.json", content)
        page = index_page.index_page("Detections", lead, entries, list(files.skipped.values()))
        atomic_write_text(directory / "index.html", page)
    print(f"index: {directory / 'index.html'}")
    return files.report_skipped()


@dataclasses.dataclass
class DetectedImage:
    """An image and what was found on it.

    Attributes:
        path: the file.
        size: (height, width) of the picture in pixels.
        input_size: (height, width) at which it entered the network.
        boxes: float64 [N, 4], (ymin, xmin, ymax, xmax) in pixels of the picture.
        labels: int [N].
        class_names: N names (or numbers) of the classes.
        scores: float [N], falling.
        ponder_map: ponder cost of the feature extractor, [h, w].
        flops: FLOPs of the feature extractor.
        plain_flops: FLOPs of the same extractor without halting.
    """

    path: pathlib.Path
    size: tuple[int, int]
    input_size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    scores: np.ndarray
    ponder_map: np.ndarray
    flops: int
    plain_flops: int

    @property
    def cost(self) -> float:
        """Ponder cost, mean over positions."""
        return float(self.ponder_map.mean())

    @property
    def captions(self) -> list[str]:
        """Class and score of each detection."""
        return [
            f"{name} {score:.0%}" for name, score in zip(self.class_names, self.scores, strict=True)
        ]


class ImageDetector:
    """Runs a detector on image files, at the size it was trained for.

    Args:
        model: a detector with its preprocessing.
        min_score: detections below are left out.

    Raises:
        UserError: the model was saved without its preprocessing.
    """

    def __init__(self, model: FasterRCNN, min_score: float):
        self._model = model
        self._min_score = min_score
        self._preprocess = preprocessing_function(model.required_preprocessing())
        self._run = tf.function(
            lambda image: model.forward(image, training=False),
            input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)],
            autograph=False,
        )

    def __call__(self, path: pathlib.Path) -> DetectedImage:
        """Reads and runs one file.

        Raises:
            UserError: it is no readable image.
        """
        picture = read_image(path)
        image, scale = self._preprocess(tf.constant(picture))
        outputs = self._run(image[tf.newaxis])
        scores = outputs["scores"][0].numpy()
        shown = (scores >= self._min_score) & (outputs["classes"][0].numpy() >= 0)
        height, width = picture.shape[:2]
        boxes = outputs["boxes"][0].numpy()[shown] / np.tile(scale.numpy(), 2)
        input_size = int(image.shape[0]), int(image.shape[1])
        labels = outputs["classes"][0].numpy()[shown]
        return DetectedImage(
            path=path,
            size=(height, width),
            input_size=input_size,
            boxes=np.clip(boxes, 0, [height, width, height, width]),
            labels=labels,
            class_names=[self._model.class_name(label) for label in labels],
            scores=scores[shown],
            ponder_map=outputs["ponder_cost_map"][0].numpy().astype(np.float16),
            flops=int(outputs["flops"][0]),
            plain_flops=self._model.plain_flops(*input_size),
        )


def _write_pictures(
    detected: dict[pathlib.Path, DetectedImage], files: ImageFiles, directory: pathlib.Path
) -> tuple[list[index_page.Entry], list[dict[str, Any]]]:
    entries, records = [], []
    limits = (0.0, 1.0)
    if detected:
        limits = ponder_maps.shared_limits(image.ponder_map for image in detected.values())
    names = index_page.file_names(list(detected))
    for path, shown in files.for_each(index_page.read_shown):
        image = detected[path]
        picture, overlay = f"{names[path]}_detections.png", f"{names[path]}_overlay.png"
        _draw(image, shown, limits, directory / picture, directory / overlay)
        text = _caption(image)
        print(f"{path}: {text}", flush=True)
        entries.append(index_page.Entry(image.cost, picture, overlay, f"{path.name}: {text}"))
        records.append(_record(image, picture, overlay))
    return entries, records


def _draw(
    image: DetectedImage,
    shown: np.ndarray,
    limits: tuple[float, float],
    picture: pathlib.Path,
    overlay: pathlib.Path,
) -> None:
    sample = DetectionSample(
        image=shown,
        boxes=image.boxes * np.tile(np.array(shown.shape[:2]) / image.size, 2),
        captions=image.captions,
        labels=image.labels.tolist(),
        ponder_map=image.ponder_map,
        title=f"ponder cost {image.cost:.2f}",
    )
    with figures.styled(figures.LIGHT):
        figure = detections_figure([sample], limits, columns=1)
        with atomic_path(picture) as temporary:
            temporary.write_bytes(figures.to_png(figure, background=figures.LIGHT.page))
    with atomic_path(overlay) as temporary:
        Image.fromarray(ponder_maps.overlay(shown, image.ponder_map, limits)).save(temporary)


def _caption(image: DetectedImage) -> str:
    height, width = image.input_size
    found = ", ".join(image.captions) or "nothing"
    share = image.flops / image.plain_flops
    return f"{found}; at {width}×{height}, {share:.0%} of the plain extractor's FLOPs"


def _record(image: DetectedImage, picture: str, overlay: str) -> dict[str, Any]:
    return {
        "path": str(image.path),
        "size": list(image.size),
        "input_size": list(image.input_size),
        "detections": [
            {
                "class": name,
                "label": int(label),
                "score": float(score),
                "box": [round(float(value), 3) for value in box],
            }
            for box, label, name, score in zip(
                image.boxes, image.labels, image.class_names, image.scores, strict=True
            )
        ],
        "ponder_cost": image.cost,
        "extractor_flops": image.flops,
        "flops_ratio": image.flops / image.plain_flops,
        "picture": picture,
        "overlay": overlay,
    }
