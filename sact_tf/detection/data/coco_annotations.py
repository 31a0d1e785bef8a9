"""Reads annotations in COCO's format, and says exactly what is wrong with them."""

import json
import logging
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sact_tf.detection.data.annotated_image import AnnotatedImage, CocoAnnotations
from sact_tf.detection.data.coco_doubts import doubts
from sact_tf.errors import UserError
from sact_tf.text import has_line_break

_logger = logging.getLogger(__name__)

# Annotation tools round; a box may end this far outside without being nonsense.
_TOLERANCE = 1.0
# Results and batches carry ids as int64.
_LARGEST_ID = 2**63 - 1


def read_annotations(path: str | os.PathLike) -> CocoAnnotations:
    """Reads and checks a COCO file of object instances.

    Only `images` (`id`, `file_name`, and where given `height` and `width`), `categories` (`id`,
    `name`) and `annotations` (`image_id`, `category_id`, `bbox`, and where given `area` and
    `iscrowd`) are looked at. Boxes may reach over the border. Boxes without area, inside or at the
    border of the image, are left out and counted. What is allowed, but looks like a mistake, is
    warned about (`coco_doubts`).

    Args:
        path: the JSON file.

    Raises:
        UserError: it cannot be read, or something in it makes no sense; names the file, and the
            image's and the annotation's id.
    """
    content = _read_json(pathlib.Path(path).expanduser())
    try:
        categories = _read_categories(content["categories"])
        images = _read_images(content["images"])
        per_image, without_area = _read_objects(content["annotations"], images, categories)
    except _Nonsense as error:
        raise UserError(f"{path}: {error}") from None
    if without_area:
        _logger.warning("%s: %d boxes without area are left out", path, without_area)
    annotated = [
        AnnotatedImage(image_id, *image, *_arrays(per_image[image_id]))
        for image_id, image in images.items()
    ]
    ids = sorted(categories)
    found = CocoAnnotations(
        os.fspath(path), ids, [categories[number] for number in ids], annotated, without_area
    )
    for doubt in doubts(found):
        _logger.warning("%s: %s", path, doubt)
    return found


class _Nonsense(UserError):
    """What is wrong, and where in the file."""


def _read_json(path: pathlib.Path) -> dict[str, list]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(
                f"{path}: expected COCO annotations with the lists images, annotations and "
                f"categories; there is no list {key}"
            )
    return content


def _read_categories(entries: list) -> dict[int, str]:
    categories: dict[int, str] = {}
    for entry in entries:
        number = _id(entry, "category")
        if number in categories:
            raise _Nonsense(f"category id {number} is given twice")
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise _Nonsense(f"category {number}: expected a name, received {name!r}")
        if has_line_break(name):
            raise _Nonsense(f"category {number}: expected a name of one line, received {name!r}")
        categories[number] = name
    if not categories:
        raise _Nonsense("there are no categories")
    return categories


def _read_images(entries: list) -> dict[int, tuple[str, int | None, int | None]]:
    images: dict[int, tuple[str, int | None, int | None]] = {}
    for entry in entries:
        number = _id(entry, "image")
        if number in images:
            raise _Nonsense(f"image id {number} is given twice")
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            raise _Nonsense(f"image {number}: expected a file_name, received {name!r}")
        if not _can_name_a_file(name):
            raise _Nonsense(f"image {number}: no file can have the file_name {name!r:.99}")
        sides = [entry.get("height"), entry.get("width")]
        if sides != [None, None] and not all(_is_int(side) and side > 0 for side in sides):
            raise _Nonsense(
                f"image {number}: expected height and width to be positive ints, received "
                f"{sides[0]!r} and {sides[1]!r}"
            )
        images[number] = name, *sides
    return images


def _read_objects(entries: list, images, categories) -> tuple[dict[int, list], int]:
    """Returns the rows ([x, y, w, h], class, crowd, area) of each image, and how many boxes have
    no area."""
    per_image: dict[int, list] = {number: [] for number in images}
    # Categories in the order of their ids, which never pass through floats.
    classes = {number: label for label, number in enumerate(sorted(categories))}
    without_area = 0
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise _Nonsense(f"expected every annotation to be an object, received {entry!r:.99}")
        image: Any = entry.get("image_id")
        category: Any = entry.get("category_id")
        # Nothing needs the ids of annotations, so whatever stands there will do.
        number = f"{entry['id']!r:.99}" if "id" in entry else f"at place {position} of the list"
        where = f"annotation {number} of image {image!r:.99}"
        for key, value in (("image_id", image), ("category_id", category)):
            if not _is_int(value):
                raise _Nonsense(f"{where}: expected {key} to be an int, received {value!r:.99}")
        if image not in images:
            raise _Nonsense(f"{where}: there is no such image")
        if category not in categories:
            raise _Nonsense(
                f"{where}: there is no category {category!r} (there are {len(categories)}, "
                f"{_shown(sorted(categories))})"
            )
        box = _read_box(entry.get("bbox"), where)
        crowd = 0 if entry.get("iscrowd") is None else entry["iscrowd"]
        if crowd not in (0, 1):
            raise _Nonsense(f"{where}: expected iscrowd to be 0 or 1, received {crowd!r}")
        area = entry.get("area")
        if area is not None and (not _is_number(area) or area < 0):
            raise _Nonsense(f"{where}: expected an area of at least 0, received {area!r}")
        _, height, width = images[image]
        if not has_area(box, height, width, where):
            without_area += 1
            continue
        area = box[2] * box[3] if area is None else area
        per_image[image].append((box, classes[category], crowd, area))
    return per_image, without_area


def _read_box(box: Any, where: str) -> list[float]:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise _Nonsense(
            f"{where}: expected bbox to be four numbers [x, y, width, height], received {box!r}"
        )
    if box[2] < 0 or box[3] < 0:
        raise _Nonsense(
            f"{where}: expected bbox [x, y, width, height] with a width and a height of at least "
            f"0, received {box!r}"
        )
    return box


def has_area(box: Sequence[float], height: int | None, width: int | None, where: str) -> bool:
    """Whether a box (x, y, width, height) covers something of the image.

    Args:
        box: four numbers.
        height, width: of the image, None where it is not known.
        where: the annotation, for the message.

    Raises:
        UserError: the whole box lies outside.
    """
    x, y, box_width, box_height = box
    outside = x + box_width < -_TOLERANCE or y + box_height < -_TOLERANCE
    inside = x + box_width > 0 and y + box_height > 0
    if height is not None and width is not None:
        outside |= x > width + _TOLERANCE or y > height + _TOLERANCE
        inside &= x < width and y < height
    if outside:
        raise _Nonsense(
            f"{where}: the box {list(box)} ([x, y, width, height]) lies outside the image of "
            f"{width} x {height} pixels (width x height)"
        )
    return inside and box_width > 0 and box_height > 0


def _arrays(rows: list) -> tuple[np.ndarray, ...]:
    """Boxes, classes, crowd flags and areas of one image."""
    boxes, classes, crowd, areas = zip(*rows, strict=True) if rows else ((), (), (), ())
    return (
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(classes, np.int32),
        np.array(crowd, bool),
        np.array(areas, np.float64),
    )


def _id(entry: Any, kind: str) -> int:
    if not isinstance(entry, dict) or not _is_int(entry.get("id")):
        raise _Nonsense(
            f"expected every {kind} to have an id that is an int, received {entry!r:.99}"
        )
    if abs(entry["id"]) > _LARGEST_ID:
        raise _Nonsense(
            f"expected the id of every {kind} to be an int of at most 64 bits "
            f"(up to {_LARGEST_ID}), received {entry['id']!s:.99}"
        )
    return entry["id"]


def _can_name_a_file(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # Half of a surrogate pair.
        return False


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # An int of hundreds of digits.
        return False


def _shown(ids: list[int]) -> str:
    return ", ".join(map(str, ids)) if len(ids) <= 5 else f"{ids[0]}, {ids[1]}, ... {ids[-1]}"
