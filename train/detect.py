"""Finds objects on one's own images, and draws them beside what the network spent where.

    python -m train.detect --model=runs/detection --images='photos/*.jpg' --output_dir=found

For each image `--output_dir` gets a picture of its detections beside the ponder cost map of the
feature extractor, and the map laid over the image; `index.html` shows all of them, and
`detections.json` has boxes ([ymin, xmin, ymax, xmax] in pixels of the image), classes, scores and
FLOPs. One colour scale serves all images.

A file that is no readable image is named on stderr and skipped; the exit code is then 1.
"""

import pathlib
import sys

import numpy as np
from absl import flags
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.files import atomic_path, atomic_write_json, atomic_write_text
from sact_tf.training.detection.loading import load_detector
from sact_tf.training.images import ponder_map_pages
from sact_tf.training.images.detection import DetectedImage, ImageDetector
from sact_tf.training.images.files import find_images
from sact_tf.training.images.ponder import read_shown
from sact_tf.visualization import figures, ponder_maps
from sact_tf.visualization.detections import DetectionSample, detections_figure
from train import program

_MODEL = flags.DEFINE_string("model", None, "a .keras file or a run directory", required=True)
_IMAGES = flags.DEFINE_string(
    "images", None, "an image, a pattern ('**' for any depth) or a folder", required=True
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "where everything is written", required=True)
_MIN_SCORE = flags.DEFINE_float(
    "min_score", 0.5, "detections of a lower score are left out", lower_bound=0, upper_bound=1
)

_SKIPPED_CODE = 1


def main(_):
    paths = find_images(_IMAGES.value)
    output_dir = pathlib.Path(_OUTPUT_DIR.value).expanduser()
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output_dir: {output_dir} is a file, expected a directory")
    detector = ImageDetector(load_detector(_MODEL.value), _MIN_SCORE.value)
    skipped: dict[str, str] = {}
    images = []
    for path in paths:
        try:
            images.append(detector(path))
        except UserError as error:
            print(f"skipped: {error}", file=sys.stderr, flush=True)
            skipped[str(path)] = str(error)
    try:
        _write(images, detector, output_dir, skipped)
    except OSError as error:
        raise UserError(f"--output_dir={output_dir}: cannot be written: {error.strerror}") from None
    print(f"index: {output_dir / 'index.html'}")
    if skipped:
        print(f"{len(skipped)} of {len(paths)} files skipped", file=sys.stderr)
        sys.exit(_SKIPPED_CODE)


def _write(
    images: list[DetectedImage],
    detector: ImageDetector,
    output_dir: pathlib.Path,
    skipped: dict[str, str],
) -> None:
    entries, records = [], []
    limits = ponder_maps.shared_limits(image.ponder_map for image in images) if images else None
    names = ponder_map_pages.file_names([image.path for image in images])
    for image, name in zip(images, names, strict=True):
        captions = [
            f"{detector.name(label)} {score:.0%}"
            for label, score in zip(image.labels, image.scores, strict=True)
        ]
        files = (f"{name}_detections.png", f"{name}_overlay.png")
        _draw(image, captions, limits, [output_dir / file for file in files])
        text = _caption(image, captions)
        print(f"{image.path}: {text}", flush=True)
        entries.append((image.cost, *files, f"{image.path.name}: {text}"))
        records.append(_record(image, detector, files))
    lead = (
        f"{len(images)} images through {_MODEL.value}: detections of a score of at least "
        f"{_MIN_SCORE.value:g}, beside the ponder cost of the feature extractor."
    )
    content = {"model": _MODEL.value, "images": records, "skipped": skipped}
    atomic_write_json(output_dir / "detections.json", content)
    page = ponder_map_pages.index_page("Detections", lead, entries, list(skipped.values()))
    atomic_write_text(output_dir / "index.html", page)


def _draw(image: DetectedImage, captions: list[str], limits, files: list[pathlib.Path]) -> None:
    shown = read_shown(image.path)
    sample = DetectionSample(
        image=shown,
        boxes=image.boxes * np.tile(np.array(shown.shape[:2]) / image.size, 2),
        captions=captions,
        labels=image.labels,
        ponder_map=image.ponder_map,
        title=f"ponder cost {image.cost:.2f}",
    )
    with figures.styled(figures.LIGHT):
        figure = detections_figure([sample], limits, columns=1)
        with atomic_path(files[0]) as temporary:
            temporary.write_bytes(figures.to_png(figure, background=figures.LIGHT.page))
    with atomic_path(files[1]) as temporary:
        Image.fromarray(ponder_maps.overlay(shown, image.ponder_map, limits)).save(temporary)


def _caption(image: DetectedImage, captions: list[str]) -> str:
    height, width = image.input_size
    found = ", ".join(captions) or "nothing"
    share = image.flops / image.plain_flops
    return f"{found}; at {width}×{height}, {share:.0%} of the plain extractor's FLOPs"


def _record(image: DetectedImage, detector: ImageDetector, files: tuple[str, str]) -> dict:
    return {
        "path": str(image.path),
        "size": list(image.size),
        "input_size": list(image.input_size),
        "detections": [
            {
                "class": detector.name(label),
                "label": int(label),
                "score": float(score),
                "box": [round(float(value), 3) for value in box],
            }
            for box, label, score in zip(image.boxes, image.labels, image.scores, strict=True)
        ],
        "ponder_cost": image.cost,
        "extractor_flops": image.flops,
        "flops_ratio": image.flops / image.plain_flops,
        "picture": files[0],
        "overlay": files[1],
    }


if __name__ == "__main__":
    program.run(main)
