"""The config of a classification run: what each YAML file under configs/ may say."""

import dataclasses
from typing import Literal

from official.modeling.hyperparams import base_config

from sact_tf.training.config.checks import BLOCKS, forbid
from sact_tf.training.config.field_types import NonNegativeInt, OpenFraction, PositiveInt, Seed
from sact_tf.training.config.loading import ConfigError
from sact_tf.training.config.sections import ModelConfig
from sact_tf.training.config.training_config import TrainingConfig


@dataclasses.dataclass
class PreprocessingConfig(base_config.Config):
    """How a decoded image becomes the network's input.

    Attributes:
        name: `imagenet` (the paper's Inception-style preprocessing), `cifar` (per-image
            standardisation; pad, crop and flip in training), `scale` (resized, [-1, 1]; flip) or
            `unit` (resized, [0, 1]; no augmentation).
        image_size: of the network's input in pixels: side of a square, or [height, width].
        padding: `cifar` and `scale`: pixels on each side, before the random crop of training; 2 and
            0 unless given.
        cutout: `cifar` and `scale`: side in pixels of a square that training sets to zero somewhere
            in the image (arXiv 1708.04552).
    """

    name: Literal["imagenet", "cifar", "scale", "unit"] = "imagenet"
    image_size: PositiveInt | list[PositiveInt] = 224
    padding: NonNegativeInt | None = None
    cutout: NonNegativeInt | None = None


@dataclasses.dataclass
class ClutteredDigitsConfig(base_config.Config):
    """Real handwritten digits pasted on canvases full of pieces of other digits.

    Attributes:
        image_size: side of the canvas in pixels.
        digit_size: side of the digit in pixels.
        num_distractors: pieces of other digits on each canvas.
        distractor_size: side of each piece in pixels.
        num_train: canvases of one training epoch.
        num_validation: held-out canvases, made from held-out digits.
        seed: what the canvases are drawn from. Apart from `train.seed`, so that runs with different
            seeds are judged on the same held-out canvases.
    """

    image_size: PositiveInt = 48
    digit_size: PositiveInt = 24
    num_distractors: NonNegativeInt = 8
    distractor_size: PositiveInt = 8
    num_train: PositiveInt = 12_800
    num_validation: PositiveInt = 1_000
    seed: Seed = 0


@dataclasses.dataclass
class TfdsConfig(base_config.Config):
    """A classification set of TensorFlow Datasets, prepared beforehand.

    Attributes:
        name: for instance `imagenet2012`, `cifar10`, `imagenette/320px-v2`.
        data_dir: where the prepared sets are; TFDS's own default if null.
        train_split: split to train on; TFDS slices such as `train[:90%]` are allowed.
        validation_split: held-out split, apart from `train_split`.
        num_classes: classes of the network; the set's own number (plus `label_offset`) if null.
        label_offset: added to every label: 1 where class 0 is a background class.
    """

    name: str | None = None
    data_dir: str | None = None
    train_split: str = "train"
    validation_split: str = "validation"
    num_classes: PositiveInt | None = None
    label_offset: NonNegativeInt = 0


@dataclasses.dataclass
class ImageFolderConfig(base_config.Config):
    """A folder of images with one sub-folder per class.

    Attributes:
        train_dir: the folder.
        validation_dir: held-out images, in sub-folders of the same names.
        validation_fraction: share of every class to hold out of `train_dir` where there is no
            `validation_dir`; 0.1 unless given.
        boxes: JSON file of boxes around the objects, {"class/file": [top, left, bottom, right]} in
            pixels, ends inclusive, or such an object for each of `train` and `val`. Evaluation then
            says how well the ponder maps find them; training does not read it.
    """

    train_dir: str | None = None
    validation_dir: str | None = None
    validation_fraction: OpenFraction | None = None
    boxes: str | None = None


@dataclasses.dataclass
class DataConfig(base_config.Config):
    """The images: `source` says which of the sections below it counts; the others stay null.

    Attributes:
        source: `cluttered_digits`, `tfds` or `image_folder`.
        preprocessing: for `tfds` and `image_folder`.
        skip_corrupt: for `tfds` and `image_folder`: count and skip images that cannot be decoded
            instead of stopping.
    """

    source: Literal["cluttered_digits", "tfds", "image_folder"] = "cluttered_digits"
    cluttered_digits: ClutteredDigitsConfig | None = None
    tfds: TfdsConfig | None = None
    image_folder: ImageFolderConfig | None = None
    preprocessing: PreprocessingConfig | None = None
    skip_corrupt: bool = False


@dataclasses.dataclass
class ClassificationConfig(TrainingConfig):
    """A classification run. The sections are described by their classes."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)

    def resolve(self) -> None:
        _check_blocks(self.model)
        super().resolve()
        _resolve_data(self.data)
        if self.train.flops_budget is not None and self.model.halting is None:
            raise ConfigError(
                "train.flops_budget",
                "a network without halting always spends the same; expected null with "
                f"halting: null, received {self.train.flops_budget}",
            )


def _check_blocks(model: ModelConfig) -> None:
    units = model.units if model.network == "imagenet" else None
    if units is not None and len(units) != BLOCKS["imagenet"]:
        raise ConfigError(
            "model.units",
            f"expected one number of units per block ({BLOCKS['imagenet']}), received {units}",
        )


def _resolve_data(data: DataConfig) -> None:
    others = {"cluttered_digits", "tfds", "image_folder"} - {data.source}
    forbid(data, "data", sorted(others), f"with source: {data.source}")
    if data.source == "cluttered_digits":
        forbid(data, "data", ["preprocessing"], "with source: cluttered_digits (it has its own)")
        if data.skip_corrupt:
            raise ConfigError(
                "data.skip_corrupt", "source: cluttered_digits has no files; expected false"
            )
        if data.cluttered_digits is None:
            data.cluttered_digits = ClutteredDigitsConfig()
        _check_canvas(data.cluttered_digits)
        return
    if data.preprocessing is None:
        data.preprocessing = PreprocessingConfig()
    size = data.preprocessing.image_size
    if isinstance(size, list) and len(size) != 2:
        raise ConfigError(
            "data.preprocessing.image_size", f"expected an int or [height, width], received {size}"
        )
    if data.source == "tfds":
        if data.tfds is None or not data.tfds.name:
            raise ConfigError("data.tfds.name", "source: tfds needs the name of a data set")
        return
    folder = data.image_folder
    if folder is None or not folder.train_dir:
        raise ConfigError("data.image_folder.train_dir", "source: image_folder needs a folder")
    if folder.validation_dir is not None and folder.validation_fraction is not None:
        raise ConfigError(
            "data.image_folder.validation_fraction",
            "expected null beside validation_dir "
            f"({folder.validation_dir}), received {folder.validation_fraction}",
        )


def _check_canvas(digits: ClutteredDigitsConfig) -> None:
    for key in ("digit_size", "distractor_size"):
        allowed = digits.image_size if key == "digit_size" else digits.digit_size
        owner = "image_size" if key == "digit_size" else "digit_size"
        if getattr(digits, key) > allowed:
            raise ConfigError(
                f"data.cluttered_digits.{key}",
                f"expected at most {owner} ({allowed}), received {getattr(digits, key)}",
            )
