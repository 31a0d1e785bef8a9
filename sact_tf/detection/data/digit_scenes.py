"""A small data set in COCO's format, made from data that ships with scikit-learn."""

import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from sact_tf.data.checks import check_integer
from sact_tf.detection.data.coco_folder import CocoFolder
from sact_tf.detection.data.scene_drawing import Scene, SceneOptions, SourceDigits, draw_scene
from sact_tf.errors import UserError

_DIGIT_RANGES = {"train": (0, 1297), "validation": (1297, 1797)}
_SPLIT_SEEDS = {"train": 0, "validation": 1}
_DRAWING = 1  # Changes when the same options give other scenes.


class DigitScenes(CocoFolder):
    """Find and read several handwritten digits of different sizes among pieces of others.

    The scenes are written once, as PNG files and COCO annotations, and read back like anybody's:
    `DATA_DIR/digit_scenes_HASH/{train,validation}.json` and folders of the same names. Digits
    0-1296 of `load_digits` make the training scenes, digits 1297-1796 (the pieces included) the
    held-out ones.

    Args:
        data_dir: where the data set is written, or found.
        num_train, num_validation: scenes.
        seed: of the scenes, int >= 0.
        preprocessing: see `sact_tf.detection.preprocessing`; pixels in [0, 1] and the scenes' own
            size if None.
        **scene: see `SceneOptions`.

    Raises:
        UserError: an argument is out of its range, or the directory cannot be written.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike,
        num_train: int = 4_000,
        num_validation: int = 300,
        seed: int = 0,
        preprocessing: Mapping[str, Any] | None = None,
        **scene: int,
    ):
        options = SceneOptions(**scene)
        counts = {
            "train": check_integer("num_train", num_train, 1),
            "validation": check_integer("num_validation", num_validation, 1),
        }
        check_integer("seed", seed, 0)
        _check(options)
        self.directory = write_digit_scenes(data_dir, counts, seed, options)
        super().__init__(
            train_annotations=self.directory / "train.json",
            train_images=self.directory / "train",
            validation_annotations=self.directory / "validation.json",
            validation_images=self.directory / "validation",
            preprocessing=preprocessing or default_preprocessing(options.image_size),
            flip=False,  # A mirrored digit is another one, or none.
        )


def default_preprocessing(image_size: int) -> dict[str, Any]:
    """Pixels in [0, 1] and scenes of their own size."""
    return {"name": "unit", "short_side": image_size, "long_side": image_size}


def write_digit_scenes(
    data_dir: str | os.PathLike, counts: Mapping[str, int], seed: int, options: SceneOptions
) -> pathlib.Path:
    """Writes the data set, unless it is there.

    Args:
        data_dir: where.
        counts: scenes of `train` and `validation`.
        seed: int >= 0.
        options: what is on the scenes.

    Returns:
        The directory of the data set; its name has a hash of all arguments.
    """
    settings = {
        "drawing": _DRAWING,
        "counts": dict(counts),
        "seed": seed,
        **dataclasses.asdict(options),
    }
    text = json.dumps(settings, sort_keys=True)
    name = f"digit_scenes_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    directory = pathlib.Path(data_dir).expanduser() / name
    if directory.is_dir():
        return directory
    # The whole set appears at once: nobody reads half of one, and of two writers one wins.
    temporary = directory.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        for split, count in counts.items():
            _write_split(temporary, split, count, seed, options)
        (temporary / "settings.json").write_text(text + "\n", encoding="utf-8")
        temporary.rename(directory)
    except OSError as error:
        if not directory.is_dir():
            raise UserError(f"{directory}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _write_split(
    directory: pathlib.Path, split: str, count: int, seed: int, options: SceneOptions
) -> None:
    from PIL import Image

    (directory / split).mkdir(parents=True)
    source = SourceDigits(*_DIGIT_RANGES[split])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        scene = draw_scene(source, options, [seed, _SPLIT_SEEDS[split], index])
        name = f"{index:06}.png"
        Image.fromarray(scene.image).save(directory / split / name)
        side = options.image_size
        images.append({"id": index + 1, "file_name": name, "height": side, "width": side})
        annotations += _annotations(scene, index + 1, first_id=len(annotations) + 1)
    content = {
        "info": {"description": f"Digit scenes, {split}: {count} images made from load_digits"},
        "images": images,
        "categories": [{"id": digit + 1, "name": str(digit)} for digit in range(10)],
        "annotations": annotations,
    }
    (directory / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    sizes = scene.boxes[:, 2:] - scene.boxes[:, :2]
    return [
        {
            "id": first_id + number,
            "image_id": image_id,
            "category_id": label + 1,
            "bbox": [int(box[1]), int(box[0]), int(size[1]), int(size[0])],
            "area": int(np.prod(size)),
            "iscrowd": 0,
            "source_digit": digit,
        }
        for number, (label, box, size, digit) in enumerate(
            zip(scene.labels, scene.boxes, sizes, scene.digits, strict=True)
        )
    ]


def _check(options: SceneOptions) -> None:
    for name, least in dataclasses.asdict(SceneOptions(1, 1, 1, 8, 8, 0, 1, 1)).items():
        check_integer(name, getattr(options, name), least)
    for low, high in (
        ("min_digits", "max_digits"),
        ("min_size", "max_size"),
        ("max_size", "image_size"),
        ("min_distractor", "max_distractor"),
        ("max_distractor", "image_size"),
    ):
        if getattr(options, low) > getattr(options, high):
            raise UserError(
                f"Expected {low} to be at most {high}={getattr(options, high)}, "
                f"received {getattr(options, low)}"
            )
