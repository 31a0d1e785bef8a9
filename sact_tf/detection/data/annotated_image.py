"""Images and the objects on them, in COCO's terms."""

import dataclasses
from typing import Any

import numpy as np

from sact_tf.detection.data.detection_data import DetectionExample


@dataclasses.dataclass
class AnnotatedImage:
    """One image and the objects on it, in pixels of the file.

    Attributes:
        image_id: its id in the annotations.
        file_name: path relative to the folder of images.
        height, width: as annotated; None where the annotations do not say.
        boxes: float64 [N, 4], (x, y, width, height) as annotated.
        classes: int32 [N], 0 ... num_classes - 1.
        crowd: bool [N]: the box holds a group of objects that were not told apart.
        areas: float64 [N]: of the object's outline in square pixels, of its box where the
            annotations do not say.
    """

    image_id: int
    file_name: str
    height: int | None
    width: int | None
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray


@dataclasses.dataclass
class CocoAnnotations:
    """The content of an annotation file.

    Attributes:
        path: the file.
        category_ids: of each class; ascending, holes allowed.
        class_names: of each class.
        images: in the order of the file.
        num_without_area: boxes that were left out because they have no area.
    """

    path: str
    category_ids: list[int]
    class_names: list[str]
    images: list[AnnotatedImage]
    num_without_area: int


def detection_example(
    image: AnnotatedImage, pixels: np.ndarray, kept: np.ndarray | slice = slice(None)
) -> DetectionExample:
    """An example for training, its boxes cut off at the border of the image.

    Args:
        image: the annotations.
        pixels: uint8 [height, width, 3].
        kept: bool [N], the boxes to take; all of them by default.
    """
    height, width = pixels.shape[:2]
    x, y, box_width, box_height = image.boxes[kept].T
    corners = np.stack([y, x, y + box_height, x + box_width], axis=1)
    return DetectionExample(
        image=pixels,
        image_id=image.image_id,
        boxes=np.clip(corners, 0, [height, width, height, width]).astype(np.float32),
        classes=image.classes[kept],
        crowd=image.crowd[kept],
    )


def coco_ground_truth(
    images: list[AnnotatedImage], category_ids: list[int], class_names: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Annotations as the dict of a COCO file; annotation ids are counted from 1."""
    objects: list[dict[str, Any]] = []
    for image in images:
        rows = zip(image.boxes, image.classes, image.crowd, image.areas, strict=True)
        for box, label, crowd, area in rows:
            objects.append(
                {
                    # COCO's own evaluation takes an id of 0 for "no match".
                    "id": len(objects) + 1,
                    "image_id": image.image_id,
                    "category_id": category_ids[label],
                    "bbox": [float(value) for value in box],
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
            )
    return {
        "images": [
            {
                "id": image.image_id,
                "file_name": image.file_name,
                "height": image.height,
                "width": image.width,
            }
            for image in images
        ],
        "categories": [
            {"id": number, "name": name}
            for number, name in zip(category_ids, class_names, strict=True)
        ],
        "annotations": objects,
    }
