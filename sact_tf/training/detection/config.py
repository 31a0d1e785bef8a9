"""The config of a detection run: what each YAML file under configs/coco/ may say."""

import dataclasses
from typing import Literal

from official.modeling.hyperparams import base_config

from sact_tf.training.config.checks import forbid, num_blocks
from sact_tf.training.config.field_types import (
    Fraction,
    NonNegativeInt,
    OpenFraction,
    PositiveFloat,
    PositiveInt,
    Seed,
)
from sact_tf.training.config.loading import ConfigError
from sact_tf.training.config.sections import EvaluationConfig, ModelConfig, TrainConfig
from sact_tf.training.config.training_config import TrainingConfig

_SOURCES = ("digit_scenes", "coco", "tfds")
_COCO_FILES = ("train_annotations", "train_images", "validation_annotations", "validation_images")


@dataclasses.dataclass
class DetectorConfig(base_config.Config):
    """What `FasterRCNN` puts on the backbone; all lengths in pixels of its input.

    Attributes:
        feature_block: last block of the feature extractor, whose units are penalized for what they
            spend; the block after it classifies boxes. The last block but one if null.
        adaptive_box_head: whether the box classifier's block halts, too (never penalized).
        anchor_sizes: sides of the anchors.
        aspect_ratios: width over height of the anchors.
        rpn_channels: of the Region Proposal Network's 3x3 convolution.
        num_proposals: regions that go to the box classifier.
        sampled_anchors, sampled_regions: examples per image for the losses of the two stages.
        crop_size: rows and columns of a region's crop.
        box_loss_weight: of both box losses.
        max_detections: per image.
        score_threshold: detections below are dropped.
        detection_iou: overlap from which on the better one of two detections of a class stays.
    """

    feature_block: str | None = None
    adaptive_box_head: bool = False
    anchor_sizes: list[PositiveInt] = dataclasses.field(default_factory=lambda: [64, 128, 256, 512])
    aspect_ratios: list[PositiveFloat] = dataclasses.field(default_factory=lambda: [0.5, 1.0, 2.0])
    rpn_channels: PositiveInt = 512
    num_proposals: PositiveInt = 300
    sampled_anchors: PositiveInt = 256
    sampled_regions: PositiveInt = 64
    crop_size: PositiveInt = 14
    box_loss_weight: PositiveFloat = 2.0
    max_detections: PositiveInt = 100
    score_threshold: Fraction = 0.01
    detection_iou: OpenFraction = 0.6


@dataclasses.dataclass
class DetectionModelConfig(ModelConfig):
    """The backbone, as for classification (`units` may have any number of blocks from two up), and
    the detector on it."""

    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)


@dataclasses.dataclass
class DigitScenesConfig(base_config.Config):
    """Several real handwritten digits per canvas among pieces of others, in COCO's format.

    Attributes:
        data_dir: where the files are written, and found again.
        image_size: side of the canvas in pixels.
        min_digits, max_digits: digits per canvas.
        min_size, max_size: sides of the digits' squares in pixels.
        num_distractors: pieces of other digits per canvas.
        min_distractor, max_distractor: sides of the pieces in pixels.
        num_train, num_validation: canvases, of disjoint digits.
        seed: what the canvases are drawn from.
    """

    data_dir: str = "runs/data"
    image_size: PositiveInt = 160
    min_digits: PositiveInt = 2
    max_digits: PositiveInt = 6
    min_size: PositiveInt = 16
    max_size: PositiveInt = 64
    num_distractors: NonNegativeInt = 12
    min_distractor: PositiveInt = 8
    max_distractor: PositiveInt = 16
    num_train: PositiveInt = 4_000
    num_validation: PositiveInt = 300
    seed: Seed = 0


@dataclasses.dataclass
class CocoFilesConfig(base_config.Config):
    """A data set in COCO's format: JSON files of object instances and folders of images.

    Attributes:
        orientation: whether boxes were drawn on pictures as they are `shown`, turned as EXIF says,
            or as they are `stored`, where the annotated size does not tell.
    """

    train_annotations: str | None = None
    train_images: str | None = None
    validation_annotations: str | None = None
    validation_images: str | None = None
    orientation: Literal["shown", "stored"] = "shown"


@dataclasses.dataclass
class TfdsCocoConfig(base_config.Config):
    """A set of TensorFlow Datasets with the features of `coco/2017`, prepared beforehand.

    Attributes:
        name: of the set.
        data_dir: where the prepared sets are; TFDS's own default if null.
        train_split, validation_split: TFDS slices such as `train[:90%]` are allowed; the two may
            not overlap.
    """

    name: str = "coco/2017"
    data_dir: str | None = None
    train_split: str = "train"
    validation_split: str = "validation"


@dataclasses.dataclass
class DetectionPreprocessingConfig(base_config.Config):
    """How a decoded image becomes the detector's input; the aspect ratio is kept.

    Attributes:
        name: pixel values: `imagenet` and `scale` [-1, 1], `unit` [0, 1], `cifar` standardised.
        short_side: pixels that the shorter side is resized to; null keeps the image's own.
        long_side: pixels that the longer side may have at most.
    """

    name: Literal["imagenet", "cifar", "scale", "unit"] = "imagenet"
    short_side: PositiveInt | None = 600
    long_side: PositiveInt | None = 1024


@dataclasses.dataclass
class DetectionDataConfig(base_config.Config):
    """The images: `source` says which of the sections below it counts; the others stay null.

    Attributes:
        source: `digit_scenes`, `coco` (one's own files) or `tfds`.
        preprocessing: for `coco` and `tfds`.
        flip: whether training mirrors every other image, left to right; true for `coco` and `tfds`,
            false for digits unless given.
        skip_corrupt: for `coco` and `tfds`: count and skip images that cannot be read instead of
            stopping.
    """

    source: Literal["digit_scenes", "coco", "tfds"] = "digit_scenes"
    digit_scenes: DigitScenesConfig | None = None
    coco: CocoFilesConfig | None = None
    tfds: TfdsCocoConfig | None = None
    preprocessing: DetectionPreprocessingConfig | None = None
    flip: bool | None = None
    skip_corrupt: bool = False


@dataclasses.dataclass
class DetectionTrainConfig(TrainConfig):
    """As for classification, without `label_smoothing` and `flops_budget`.

    Attributes:
        freeze_batch_norm: whether all batch normalizations keep statistics and weights, for batches
            of few images.
    """

    freeze_batch_norm: bool = False


@dataclasses.dataclass
class DetectionEvaluationConfig(EvaluationConfig):
    """As for classification.

    Attributes:
        pictures: held-out images that the report shows, in memory until then.
    """

    batch_size: PositiveInt = 4
    pictures: PositiveInt = 12


@dataclasses.dataclass
class DetectionConfig(TrainingConfig):
    """A detection run. The sections are described by their classes."""

    model: DetectionModelConfig = dataclasses.field(default_factory=DetectionModelConfig)
    data: DetectionDataConfig = dataclasses.field(default_factory=DetectionDataConfig)
    train: DetectionTrainConfig = dataclasses.field(default_factory=DetectionTrainConfig)
    evaluation: DetectionEvaluationConfig = dataclasses.field(
        default_factory=DetectionEvaluationConfig
    )

    def resolve(self) -> None:
        super().resolve()
        _resolve_detector(self.model)
        _resolve_data(self.data)
        if self.runtime.strategy == "tpu":
            raise ConfigError(
                "runtime.strategy",
                "detectors suppress boxes by an operation that TPUs do not have; received tpu",
            )
        forbid(self.train, "train", ["flops_budget"], "for detectors")
        if self.train.label_smoothing:
            raise ConfigError(
                "train.label_smoothing",
                f"expected 0 for detectors, received {self.train.label_smoothing}",
            )


def _resolve_detector(model: DetectionModelConfig) -> None:
    blocks = num_blocks(model)
    if blocks < 2:
        raise ConfigError(
            "model.units",
            "a detector needs two blocks or more, for features and for boxes; "
            f"received {model.units}",
        )
    names = [f"block{number}" for number in range(1, blocks + 1)]
    detector = model.detector
    if detector.feature_block is None:
        detector.feature_block = names[-2]
    if detector.feature_block not in names[:-1]:
        raise ConfigError(
            "model.detector.feature_block",
            f"expected one of {', '.join(names[:-1])} (the block after it classifies boxes), "
            f"received {detector.feature_block}",
        )
    if detector.adaptive_box_head and model.halting is None:
        raise ConfigError(
            "model.detector.adaptive_box_head", "needs halting; expected false with halting: null"
        )
    for key in ("anchor_sizes", "aspect_ratios"):
        if not getattr(detector, key):
            raise ConfigError(f"model.detector.{key}", "expected at least one, received []")


def _resolve_data(data: DetectionDataConfig) -> None:
    others = [source for source in _SOURCES if source != data.source]
    forbid(data, "data", others, f"with source: {data.source}")
    if data.source == "digit_scenes":
        forbid(data, "data", ["preprocessing"], "with source: digit_scenes (it has its own)")
        for key in ("flip", "skip_corrupt"):
            if getattr(data, key):
                raise ConfigError(f"data.{key}", "expected false with source: digit_scenes")
        data.flip = False
        if data.digit_scenes is None:
            data.digit_scenes = DigitScenesConfig()
        return
    if data.preprocessing is None:
        data.preprocessing = DetectionPreprocessingConfig()
    if data.flip is None:
        data.flip = True
    if data.source == "tfds":
        if data.tfds is None:
            data.tfds = TfdsCocoConfig()
        return
    for key in _COCO_FILES:
        if data.coco is None or not getattr(data.coco, key):
            raise ConfigError(f"data.coco.{key}", "source: coco needs it")
