"""What the keys of a detection config demand of one another."""

from sact_tf.training.classification.checks import (
    check_learning_rate,
    forbid,
    num_blocks,
    resolve_halting,
    resolve_network,
)
from sact_tf.training.config.loading import ConfigError
from sact_tf.training.config.runtime_checks import check_runtime
from sact_tf.training.detection import config as configs

_SOURCES = ("digit_scenes", "coco", "tfds")
_COCO_FILES = ("train_annotations", "train_images", "validation_annotations", "validation_images")


def resolve(config: configs.DetectionConfig) -> None:
    """Fills in the values that depend on other keys, in place.

    Raises:
        ConfigError: a combination is impossible; names the key, what is allowed and what came.
    """
    resolve_network(config.model, any_blocks=True)
    resolve_halting(config.model)
    _resolve_detector(config.model)
    _resolve_data(config.data)
    check_learning_rate(config.train)
    check_runtime(config)
    if config.runtime.strategy == "tpu":
        raise ConfigError(
            "runtime.strategy",
            "detectors suppress boxes by an operation that TPUs do not have; received tpu",
        )
    forbid(config.train, "train", ["flops_budget"], "for detectors")
    if config.train.label_smoothing:
        raise ConfigError(
            "train.label_smoothing",
            f"expected 0 for detectors, received {config.train.label_smoothing}",
        )


def _resolve_detector(model: configs.DetectionModelConfig) -> None:
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


def _resolve_data(data: configs.DetectionDataConfig) -> None:
    others = [source for source in _SOURCES if source != data.source]
    forbid(data, "data", others, f"with source: {data.source}")
    if data.source == "digit_scenes":
        forbid(data, "data", ["preprocessing"], "with source: digit_scenes (it has its own)")
        for key in ("flip", "skip_corrupt"):
            if getattr(data, key):
                raise ConfigError(f"data.{key}", "expected false with source: digit_scenes")
        data.flip = False
        if data.digit_scenes is None:
            data.digit_scenes = configs.DigitScenesConfig()
        return
    if data.preprocessing is None:
        data.preprocessing = configs.DetectionPreprocessingConfig()
    if data.flip is None:
        data.flip = True
    if data.source == "tfds":
        if data.tfds is None:
            data.tfds = configs.TfdsCocoConfig()
        return
    for key in _COCO_FILES:
        if data.coco is None or not getattr(data.coco, key):
            raise ConfigError(f"data.coco.{key}", "source: coco needs it")
