"""Where the objects are on the images of a folder, as a JSON file says it."""

import json
import logging
import math
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from sact_tf.data.pipeline import trial_reading
from sact_tf.errors import UserError
from sact_tf.images.decoding import shown_size

_logger = logging.getLogger(__name__)

# Of an image that has none.
NO_BOX = np.full([4], np.nan, np.float32)
_SHOWN = 3


class ObjectBoxes:
    """The boxes of the held-out images of a folder.

    The file is a JSON object {name: [top, left, bottom, right]} with names as `cat/1.jpg`, relative
    to the folder, and pixels of the image as viewers show it, ends inclusive; or an object of such
    objects, one per split ({"train": ..., "val": ...}), of which one is looked at. An image without
    an entry has no box, which is counted in a warning.

    Args:
        file: the JSON file.
        folder: what the names are relative to.
        held_out: paths of its held-out images.
        others: paths of its other images, which may have boxes, too.
        splits: names of the part to look at, where the file has parts.

    Raises:
        UserError: the file cannot be read, a name fits no image, a box is none or reaches outside
            its image, or no held-out image has one; names the file and the image.
    """

    def __init__(
        self,
        file: str | os.PathLike,
        folder: str | os.PathLike,
        held_out: Collection[str],
        others: Collection[str],
        splits: Sequence[str],
    ):
        self._file = pathlib.Path(file).expanduser()
        boxes = self._part(splits)
        names = {path: pathlib.Path(path).relative_to(folder).as_posix() for path in held_out}
        known = set(names.values())
        known.update(pathlib.Path(path).relative_to(folder).as_posix() for path in others)
        unknown = [name for name in boxes if name not in known]
        if unknown:
            raise UserError(
                f"{self._file}: {len(unknown)} of {len(boxes)} names fit no image below {folder}: "
                f"{_listed(unknown)}; expected names such as {min(known)!r}"
            )
        found = {
            path: self._checked(name, boxes[name]) for path, name in names.items() if name in boxes
        }
        if not found:
            raise UserError(f"{self._file}: none of the {len(names)} held-out images has a box")
        if len(found) < len(names):
            _logger.warning(
                "%s: %d of %d held-out images have no box; localization is judged on the other %d",
                self._file,
                len(names) - len(found),
                len(names),
                len(found),
            )
        self._check_inside(found)
        self._boxes = {path: _with_exclusive_ends(box) for path, box in found.items()}

    def box(self, path: str) -> np.ndarray:
        """float32 [4]: (top, left, bottom, right) in pixels, ends exclusive; NaN without a box."""
        return self._boxes.get(path, NO_BOX)

    def _part(self, splits: Sequence[str]) -> dict[str, Any]:
        """The boxes by name of image, of whatever value."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UserError(f"{self._file}: cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self._file}: not a JSON file ({error})") from None
        if not isinstance(content, dict) or not content:
            raise UserError(
                f"{self._file}: expected an object of boxes by image, "
                '{"cat/1.jpg": [top, left, bottom, right]}, '
                f"received {json.dumps(content)[:99]}"
            )
        if not all(isinstance(value, dict) for value in content.values()):
            return content
        for split in splits:
            if split in content:
                return content[split]
        raise UserError(
            f"{self._file}: expected boxes of the held-out images under {' or '.join(splits)}, "
            f"found {_listed(list(content))}"
        )

    def _checked(self, name: str, box: Any) -> Sequence[float]:
        is_box = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
        if not is_box or not (0 <= box[0] <= box[2] and 0 <= box[1] <= box[3]):
            raise UserError(
                f"{self._file}: {name}: expected [top, left, bottom, right] in pixels, at least 0, "
                f"bottom and right not before top and left, received {json.dumps(box)[:99]}"
            )
        return box

    def _check_inside(self, boxes: Mapping[str, Sequence[float]]) -> None:
        """Refuses boxes that end outside of their images; reads nothing but the files' headers."""
        paths = list(boxes)

        def check(index: int) -> None:
            path = paths[index]
            try:
                height, width = shown_size(pathlib.Path(path).read_bytes(), path)
            except (OSError, UserError):
                return  # Not for the boxes to say; whoever reads the image does.
            if boxes[path][2] > height - 1 or boxes[path][3] > width - 1:
                raise UserError(
                    f"{self._file}: {path}: the box {list(boxes[path])} (top, left, bottom, right, "
                    f"ends inclusive) reaches outside the image of {height} rows and {width} "
                    "columns"
                )

        outside = trial_reading.unreadable(check, len(paths))
        for first in outside.values():
            raise UserError(
                f"{first}; {len(outside)} of {len(paths)} boxes do" if len(outside) > 1 else first
            )


def _with_exclusive_ends(box: Sequence[float]) -> np.ndarray:
    top, left, bottom, right = box
    return np.array([top, left, bottom + 1, right + 1], np.float32)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(names: list[str]) -> str:
    return ", ".join(f"{name!r:.99}" for name in names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
