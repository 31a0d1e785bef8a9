"""Small data sets in COCO's format, as real files."""

import json

import numpy as np
from PIL import Image

from tests.data.picture_files import smooth_picture

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 90, "name": "owl"}]


def annotation(number, image_id, bbox, category_id=3, **more):
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": bbox, **more}


def content(sizes, annotations, categories=None):
    """A COCO dict; `sizes` is {image id: (height, width)}."""
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "height": height, "width": width}
            for number, (height, width) in sizes.items()
        ],
        "categories": CATEGORIES if categories is None else categories,
        "annotations": annotations,
    }


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_set(folder, sizes, annotations, categories=None):
    """Writes `annotations.json` and the pictures into `images`; returns both paths."""
    value = content(sizes, annotations, categories)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for number, (height, width) in sizes.items():
        Image.fromarray(smooth_picture(height, width, seed=number)).save(images / f"{number}.png")
    return write_json(folder / "annotations.json", value), images


def write_many(folder, count=7, seed=0):
    """A set of pictures of different sizes with 0 to 3 boxes each."""
    generator = np.random.default_rng(seed)
    sizes, annotations = {}, []
    for number in range(1, count + 1):
        height, width = (int(side) for side in generator.integers(20, 40, 2))
        sizes[number] = height, width
        for _ in range(number % 4):
            box = [int(v) for v in (*generator.integers(0, 10, 2), *generator.integers(5, 10, 2))]
            category = CATEGORIES[generator.integers(3)]["id"]
            annotations.append(annotation(len(annotations) + 1, number, box, category))
    return write_set(folder, sizes, annotations)
