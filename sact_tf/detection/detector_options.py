"""The options of a detector, and what they may be."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

_POSITIVE_INTS = (
    "num_classes",
    "rpn_channels",
    "num_proposals",
    "proposal_candidates",
    "sampled_anchors",
    "sampled_regions",
    "crop_size",
    "max_detections",
)
_SHARES = ("proposal_iou", "score_threshold", "detection_iou")


@dataclasses.dataclass(frozen=True)
class DetectorOptions:
    """Everything about a `FasterRCNN` besides its backbone.

    Attributes:
        num_classes: C, without background.
        class_names, preprocessing: as in `ImageClassifier`; saved with the model.
        feature_block: name of the extractor's last block; None is the last block but one.
        adaptive_box_head: whether the box classifier's block halts, too; its ponder cost is never
            penalized.
        anchor_sizes: sides of the anchors, in pixels.
        aspect_ratios: width over height of the anchors.
        rpn_channels: of the Region Proposal Network's 3x3 convolution.
        num_proposals: regions of an image that go to the box classifier.
        proposal_candidates, proposal_iou: boxes that enter the suppression of proposals, and the
            intersection over union from which on it drops one.
        sampled_anchors, sampled_regions: examples of an image for the losses of the two stages.
        crop_size: rows and columns of a crop, before the stride of the box classifier.
        box_loss_weight: of both box losses.
        max_detections, score_threshold, detection_iou: of the last suppression, class by class.
        freeze_batch_norm: whether all batch normalizations keep their statistics and weights.

    Raises:
        ValueError: one of them is none of the values allowed.
    """

    num_classes: int
    class_names: Sequence[str] | None = None
    preprocessing: Mapping[str, Any] | None = None
    feature_block: str | None = None
    adaptive_box_head: bool = False
    anchor_sizes: Sequence[float] = (64, 128, 256, 512)
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0)
    rpn_channels: int = 512
    num_proposals: int = 300
    proposal_candidates: int = 2000
    proposal_iou: float = 0.7
    sampled_anchors: int = 256
    sampled_regions: int = 64
    crop_size: int = 14
    box_loss_weight: float = 2.0
    max_detections: int = 100
    score_threshold: float = 0.01
    detection_iou: float = 0.6
    freeze_batch_norm: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name in _POSITIVE_INTS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Expected {name} to be a positive int, received {value!r}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"Expected {name} in [0, 1), received {getattr(self, name)!r}")
        for name in ("anchor_sizes", "aspect_ratios"):
            values = getattr(self, name)
            if not values or any(not value > 0 for value in values):
                raise ValueError(f"Expected {name} to be positive numbers, received {values!r}")
        if not self.box_loss_weight >= 0:
            raise ValueError(
                f"Expected box_loss_weight to be >= 0, received {self.box_loss_weight!r}"
            )
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ValueError(
                f"Expected one class name for each of the {self.num_classes} classes, received "
                f"{len(self.class_names)}"
            )

    @property
    def num_anchors(self) -> int:
        """Anchors of a position."""
        return len(self.anchor_sizes) * len(self.aspect_ratios)

    def feature_block_of(self, blocks: Sequence[str]) -> str:
        """Name of the extractor's last block.

        Args:
            blocks: names of the backbone's blocks.

        Raises:
            ValueError: there is no such block, or none after it for the box classifier.
        """
        if len(blocks) < 2:
            raise ValueError(
                "Expected a backbone of two blocks or more, one for the box classifier, received "
                f"one of {len(blocks)}"
            )
        if self.feature_block is None:
            return blocks[-2]
        if self.feature_block not in blocks[:-1]:
            raise ValueError(
                f"Expected feature_block to be None or one of {blocks[:-1]} (the block after it is "
                f"the box classifier), received {self.feature_block!r}"
            )
        return self.feature_block


def _plain(value: Any) -> Any:
    """Lists and dicts without the containers that Keras puts around a model's attributes."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
