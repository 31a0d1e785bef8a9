"""A small data set in the layout and formats of cat2000, and models that know it."""

import pathlib

import keras
import numpy as np
import scipy.io
import scipy.ndimage
import tensorflow as tf
from PIL import Image

from sact_tf.models import AdaptiveModel

HEIGHT, WIDTH = 108, 192
CATEGORIES = ("Action", "Art")
PER_CATEGORY = 6
_BAR = 30


def write_dataset(root: pathlib.Path) -> pathlib.Path:
    """Bright spots away from the middle; people look at the spots and at the middle.

    Art is stored as grey JPEG; the last two of Action have grey bars at the sides, as cat2000 fills
    images up to 1920 x 1080. The Output folders hold files that are no part of the data.
    """
    rng = np.random.default_rng(2000)
    for category in CATEGORIES:
        folders = [root / kind / category for kind in ("Stimuli", "FIXATIONLOCS", "FIXATIONMAPS")]
        for folder in folders:
            folder.mkdir(parents=True)
        for folder in folders[::2]:
            (folder / "Output").mkdir()
            Image.new("L", (WIDTH, HEIGHT), 255).save(folder / "Output" / "001_SaliencyMap.jpg")
        for number in range(1, PER_CATEGORY + 1):
            bars = category == "Action" and number > PER_CATEGORY - 2
            spot = _spot(rng)
            name = f"{number:03d}"
            image = Image.fromarray(_image(rng, spot, bars))
            image.convert("L" if category == "Art" else "RGB").save(
                folders[0] / f"{name}.jpg", quality=95
            )
            fixation_map = _fixation_map(rng, spot)
            scipy.io.savemat(
                folders[1] / f"{name}.mat", {"fixLocs": fixation_map}, do_compression=True
            )
            human = scipy.ndimage.gaussian_filter(fixation_map.astype(float), 5)
            Image.fromarray((human / human.max() * 255).astype(np.uint8)).save(
                folders[2] / f"{name}.jpg"
            )
    return root


def _spot(rng):
    angle = rng.uniform(0, 2 * np.pi)
    return HEIGHT * (0.5 + 0.33 * np.sin(angle)), WIDTH * (0.5 + 0.3 * np.cos(angle))


def _image(rng, spot, bars):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = ((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / (2 * 8**2)
    image = 50 + rng.normal(0, 6, (HEIGHT, WIDTH)) + 180 * np.exp(-distance)
    if bars:
        image[:, :_BAR] = image[:, -_BAR:] = 126
    return np.clip(image, 0, 255).astype(np.uint8)


def _fixation_map(rng, spot):
    points = np.concatenate(
        [
            rng.normal(spot, 4, (30, 2)),
            rng.normal((HEIGHT / 2, WIDTH / 2), (0.12 * HEIGHT, 0.12 * WIDTH), (12, 2)),
        ]
    ).astype(int)
    inside = ((points >= 0) & (points < (HEIGHT, WIDTH))).all(axis=1)
    fixation_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    fixation_map[tuple(points[inside].T)] = 1
    return fixation_map


@keras.saving.register_keras_serializable(package="sact_tf_tests")
class PlantedModel(AdaptiveModel, keras.Model):
    """Its ponder cost is the image's brightness, as it is or with the positions shuffled.

    Args:
        kind: "planted", "shuffled", or "global" for one cost per image.
    """

    def __init__(self, kind, preprocessing=None, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.preprocessing = preprocessing

    def call(self, images):
        return images

    def ponder(self, images):
        cost = images[..., 0]
        if self.kind == "global":
            cost = tf.reduce_mean(cost, axis=(1, 2), keepdims=True)
        if self.kind == "shuffled":
            cost = tf.map_fn(_shuffled, cost)
        return {"ponder_cost_map": cost}

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "preprocessing": self.preprocessing}


def _shuffled(cost):
    # A different order for every image: one order for all could by chance suit them all.
    seed = tf.cast(tf.reduce_sum(cost * 255), tf.int32)
    pixels = tf.random.experimental.stateless_shuffle(tf.reshape(cost, [-1]), [seed, 0])
    return tf.reshape(pixels, tf.shape(cost))


def save_planted_model(path, kind, preprocessing=None):
    model = PlantedModel(kind, preprocessing)
    model(np.zeros((1, 4, 4, 3), np.float32))
    model.save(path)
    return path
