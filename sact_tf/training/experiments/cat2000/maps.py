"""Ponder cost maps of a list of images, through the cache."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from sact_tf import paths
from sact_tf.data.preprocessing import pixel_scaling_function
from sact_tf.errors import UserError
from sact_tf.models import AdaptiveModel, set_execution
from sact_tf.saliency import Cat2000Image
from sact_tf.training.detection.loading import load_detector_or_classifier
from sact_tf.training.experiments.cat2000.cache import ArrayCache, digest
from sact_tf.training.run_directory.keras_files import load_keras_file
from sact_tf.version import __version__


@dataclasses.dataclass(frozen=True)
class CachedMap:
    """An image whose ponder cost map is in the cache.

    Attributes:
        image: the image.
        key: of its map in the cache.
    """

    image: Cat2000Image
    key: str


class PonderMapper:
    """Runs a model on resized images.

    Args:
        model_path: a .keras file, or what `load_detector_or_classifier` takes.
        height, width: size the images are resized to, aspect not kept.
        preprocessing: what the pixel values need; the model's own by default.
        execution: "masked", "tiled" or "auto"; the model's own by default.
        cache: where the maps go.

    Raises:
        UserError: the file is not such a model, or has no preprocessing and none is given.
    """

    def __init__(
        self,
        model_path: str,
        height: int,
        width: int,
        cache: ArrayCache,
        preprocessing: dict | None = None,
        execution: str | None = None,
    ):
        self._path = model_path
        self._size = (height, width)
        self._cache = cache
        model = _load(model_path)
        if execution:
            set_execution(model, execution)
        preprocessing = preprocessing or model.required_preprocessing()
        self._scale = pixel_scaling_function({"name": preprocessing.get("name")})
        self._key = (
            __version__,
            model_digest(model),
            self._size,
            json.dumps(preprocessing, sort_keys=True),
        )

        spec = tf.TensorSpec([None, height, width, 3], tf.float32)

        @tf.function(input_signature=[spec], autograph=False)
        def ponder(images):
            return tf.cast(model.ponder(images)["ponder_cost_map"], tf.float32)

        self._ponder = ponder

    def map_images(
        self, images: Sequence[Cat2000Image], batch_size: int
    ) -> Iterator[tuple[Cat2000Image, CachedMap | UserError, bool]]:
        """Puts the maps of all images into the cache; those that are there stay.

        Args:
            images: the images, in any order.
            batch_size: how many go through the model at once.

        Yields:
            (image, result, whether it was in the cache), each image once. The result is an error if
            the image cannot be read.
        """
        waiting: list[tuple[CachedMap, tf.Tensor]] = []
        for image in images:
            try:
                cached = CachedMap(image, self._image_key(image))
                if self._cache.load(image.name, cached.key) is not None:
                    yield image, cached, True
                    continue
                waiting.append((cached, self._scale(image.read_image(*self._size))))
            except UserError as error:
                yield image, error, False
                continue
            if len(waiting) == batch_size:
                yield from self._run(waiting)
                waiting = []
        if waiting:
            yield from self._run(waiting)

    def read_map(self, cached: CachedMap) -> np.ndarray:
        """The map of an image that `map_images` has dealt with, float32 [height, width].

        Raises:
            UserError: somebody deleted it since.
        """
        ponder_map = self._cache.load(cached.image.name, cached.key)
        if ponder_map is None:
            raise UserError(
                f"{self._cache.directory}: the ponder map of {cached.image.name} has gone"
            )
        return ponder_map

    def _image_key(self, image: Cat2000Image) -> str:
        try:
            return digest(*self._key, image.image_path.read_bytes())
        except OSError as error:
            raise UserError(f"{image.image_path}: {error.strerror}") from error

    def _run(self, waiting):
        maps = self._ponder(tf.stack([pixels for _, pixels in waiting])).numpy()
        if maps.shape[1:] == (1, 1) and self._size != (1, 1):
            raise UserError(
                f"{self._path}: spends the same computation on every position of an image (ACT or "
                "no halting), so it has no map; saliency needs a SACT model"
            )
        if maps.shape[1:] != self._size or not np.isfinite(maps).all():
            raise UserError(
                f"{self._path}: expected finite ponder cost maps of shape {self._size}, received "
                f"shape {maps.shape[1:]}" + " with NaN or infinity" * (not np.isfinite(maps).all())
            )
        for (cached, _), ponder_map in zip(waiting, maps, strict=True):
            self._cache.save(cached.image.name, cached.key, ponder_map)
            yield cached.image, cached, False


def model_digest(model: keras.Model) -> str:
    """16 hexadecimal digits that depend on the model's configuration and all its weights."""
    config = keras.saving.serialize_keras_object(model)
    return digest(
        json.dumps(config, sort_keys=True, default=repr),
        *(np.asarray(weight).tobytes() for weight in model.weights),
    )


def _load(path: str) -> AdaptiveModel:
    if pathlib.Path(path).suffix != ".keras":
        return load_detector_or_classifier(path)
    model = load_keras_file(paths.find_input(path), keras.Model)
    if not isinstance(model, AdaptiveModel):
        raise UserError(
            f"{path}: a {type(model).__name__} has no ponder cost maps; expected a classification "
            "or detection model of sact_tf"
        )
    return model
