"""The cat2000 data set as it is distributed: images, fixations and human maps.

    trainSet/Stimuli/<Category>/001.jpg          image, 1920 x 1080, sides padded with grey
    trainSet/FIXATIONLOCS/<Category>/001.mat     `fixLocs` [1080, 1920], 1 where someone looked
    trainSet/FIXATIONMAPS/<Category>/001.jpg     the fixations blurred: the human map

Sub-folders of a category (`Output`) hold results of other models and are not read.

Reference:
    A. Borji, L. Itti: CAT2000: a large scale fixation dataset for boosting saliency research.
    arXiv 1505.03581.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from sact_tf.errors import UserError
from sact_tf.saliency.fixations import Fixations

_IMAGES, _FIXATIONS, _HUMAN_MAPS = "Stimuli", "FIXATIONLOCS", "FIXATIONMAPS"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAT_KEY = "fixLocs"


@dataclasses.dataclass(frozen=True)
class Cat2000Image:
    """One image of the data set and the files that belong to it.

    Attributes:
        category: name of the scene category.
        stem: file name without its ending, such as "001".
        in_first_half: whether it belongs to the first half of its category by file number.
        image_path: existing file.
        fixations_path, human_map_path: where these belong, their suffix of either case; reading
            names a missing file.
    """

    category: str
    stem: str
    in_first_half: bool
    image_path: pathlib.Path
    fixations_path: pathlib.Path
    human_map_path: pathlib.Path

    @property
    def name(self) -> str:
        """Such as "Action/001"."""
        return f"{self.category}/{self.stem}"

    def read_size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels, from the file's head.

        Raises:
            UserError: the file cannot be read.
        """
        from PIL import Image

        try:
            with Image.open(self.image_path) as image:
                return image.height, image.width
        except (OSError, Image.DecompressionBombError) as error:
            raise _unreadable(self.image_path, error) from error

    def read_image(self, height: int | None = None, width: int | None = None) -> np.ndarray:
        """The image, grey ones as three equal channels.

        The pixels are taken as they are stored: the fixations are in that frame, and cat2000 has
        files with a wrong EXIF rotation. The grey bars that fill images up to 1920 x 1080 are part
        of the image.

        Args:
            height, width: resize to this size (bilinear, antialiased) if given.

        Returns:
            uint8 [height, width, 3].

        Raises:
            UserError: the file cannot be read.
        """
        from PIL import Image

        size = None if height is None or width is None else (width, height)
        return _read_picture(self.image_path, "RGB", size, Image.Resampling.BILINEAR)

    def read_fixations(self) -> Fixations:
        """Where people looked.

        Raises:
            UserError: the file is missing, damaged or without `fixLocs`, its size is not the
                image's, nobody looked anywhere, or somebody at every pixel.
        """
        values = _read_mat(self.fixations_path)
        try:
            fixations = Fixations.from_map(values)
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.fixations_path}: {error}") from error
        self._check_size(self.fixations_path, fixations.shape)
        if not len(fixations):
            raise UserError(f"{self.fixations_path}: no fixations in {_MAT_KEY}")
        if fixations.covers_image:
            raise UserError(
                f"{self.fixations_path}: every pixel is fixated in {_MAT_KEY}, so that there is "
                "nothing to tell fixated pixels from"
            )
        return fixations

    def read_human_map(self) -> np.ndarray:
        """The human map, float64 [height, width], 0 to 255.

        Raises:
            UserError: the file is missing, damaged or the same everywhere, or its size is not the
                image's.
        """
        values = _read_picture(self.human_map_path, "L").astype(np.float64)
        self._check_size(self.human_map_path, values.shape)
        if values.min() == values.max():
            raise UserError(f"{self.human_map_path}: the human map is the same everywhere")
        return values

    def _check_size(self, path: pathlib.Path, shape: tuple[int, ...]) -> None:
        size = self.read_size()
        if shape != size:
            raise UserError(
                f"{path}: {shape[1]}x{shape[0]} pixels, but the image {self.image_path} has "
                f"{size[1]}x{size[0]}"
            )


class Cat2000:
    """The images of a cat2000 directory.

    Args:
        data_dir: the directory with `Stimuli`, `FIXATIONLOCS` and `FIXATIONMAPS`.
        categories: names of the scene categories to read; all of them by default.

    Attributes:
        categories: tuple of names, in alphabetical order.
        images: tuple of `Cat2000Image`, by category and file number. Of a category's n images the
            first n // 2 are the first half.

    Raises:
        UserError: a directory or category is missing, or there are no images.
    """

    def __init__(self, data_dir: str | os.PathLike, categories: Sequence[str] | None = None):
        self.data_dir = pathlib.Path(data_dir).expanduser()
        for folder in (_IMAGES, _FIXATIONS, _HUMAN_MAPS):
            if not (self.data_dir / folder).is_dir():
                raise UserError(
                    f"{self.data_dir}: no folder {folder}; expected cat2000's trainSet with "
                    f"{_IMAGES}, {_FIXATIONS} and {_HUMAN_MAPS}"
                )
        found = {
            folder.name: paths
            for folder in sorted((self.data_dir / _IMAGES).iterdir())
            if folder.is_dir() and (paths := _list_images(folder))
        }
        if not found:
            raise UserError(f"{self.data_dir / _IMAGES}: no categories with images")
        unknown = sorted(set(categories or ()) - set(found))
        if unknown:
            raise UserError(
                f"{self.data_dir / _IMAGES}: no images of category {unknown[0]!r}; there are "
                f"{', '.join(found)}"
            )
        self.categories = tuple(name for name in found if not categories or name in categories)
        self.images = tuple(
            image for name in self.categories for image in self._images(name, found[name])
        )

    def _images(self, category: str, paths: Sequence[pathlib.Path]) -> Iterator[Cat2000Image]:
        """The images of a category; `paths` are in the order of their numbers."""
        fixations = _Folder(self.data_dir / _FIXATIONS / category)
        human_maps = _Folder(self.data_dir / _HUMAN_MAPS / category)
        for index, path in enumerate(paths):
            yield Cat2000Image(
                category=category,
                stem=path.stem,
                in_first_half=index < len(paths) // 2,
                image_path=path,
                fixations_path=fixations.find(path.stem, (".mat",)),
                human_map_path=human_maps.find(path.stem, _SUFFIXES),
            )


class _Folder:
    """The files of a folder, whether or not it is there."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        entries = sorted(path.iterdir()) if path.is_dir() else []
        # Of 1.JPG and 1.jpg the latter, which comes last.
        self._files = {entry.stem + entry.suffix.lower(): entry for entry in entries}

    def find(self, stem: str, suffixes: Sequence[str]) -> pathlib.Path:
        """The file with one of these suffixes, in letters of either case; else where it belongs."""
        names = [stem + suffix for suffix in suffixes]
        found = [self._files[name] for name in names if name in self._files]
        return found[0] if found else self._path / names[0]


def _list_images(folder: pathlib.Path) -> list[pathlib.Path]:
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
    return sorted(paths, key=_by_number)


def _by_number(path: pathlib.Path) -> tuple:
    """Sort key: "2" before "010" before "10a"; names without a number last."""
    number = re.match(r"\d+", path.stem)
    return (not number, int(number.group()) if number else 0, path.name)


def _unreadable(path: pathlib.Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: no such file")
    return UserError(f"{path}: not a readable image: {error}")


def _read_picture(
    path: pathlib.Path, mode: str, size: tuple[int, int] | None = None, resample=None
) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert(mode)
            return np.asarray(image if size is None else image.resize(size, resample))
    # Pillow raises all of these on damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def _read_mat(path: pathlib.Path) -> np.ndarray:
    import scipy.io
    import scipy.io.matlab

    try:
        # Opened here: loadmat has no error of its own for a missing file.
        with open(path, "rb") as file:
            content = scipy.io.loadmat(file)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except NotImplementedError as error:
        raise UserError(
            f"{path}: a MATLAB 7.3 (HDF5) file; expected version 7 or older, as cat2000's are"
        ) from error
    # scipy has no common exception for damaged files.
    except (
        scipy.io.matlab.MatReadError,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        zlib.error,
    ) as error:
        raise UserError(f"{path}: not a readable MATLAB file: {error}") from error
    if _MAT_KEY not in content:
        names = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise UserError(f"{path}: no variable {_MAT_KEY}; the file has {names}")
    values = content[_MAT_KEY]
    return values.toarray() if hasattr(values, "toarray") else values
