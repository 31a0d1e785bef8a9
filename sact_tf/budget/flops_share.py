"""What a network spends, as a share of the same network without halting."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.budget.halting_shift import halting_logits_shifted
from sact_tf.models import AdaptiveModel

# Beyond what any image can add to a logit: every score is 0 or 1.
_SATURATING = float("inf")


class FlopsShare:
    """Measures mean FLOPs over data; compiled once, follows the weights as they change.

    Args:
        model: an `AdaptiveModel`; the FLOPs of a `FasterRCNN` are those of its feature extractor.

    Raises:
        ValueError: the model is none.
    """

    def __init__(self, model: AdaptiveModel):
        if not isinstance(model, AdaptiveModel):
            raise ValueError(
                "Expected a model whose FLOPs can be counted, an AdaptiveModel (ImageClassifier, "
                f"ResNetBackbone or FasterRCNN), received {model!r}"
            )
        self.model = model
        self._plain: dict[tuple[int, int], int] = {}
        self._flops = tf.function(
            lambda images, valid: model.forward(images, valid, training=False)["flops"],
            reduce_retracing=True,
            autograph=False,
        )

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Sizes (height, width) of the images measured so far, in pixels."""
        return list(self._plain)

    def __call__(self, dataset: Any) -> float:
        """Mean FLOPs of the model over mean FLOPs of the plain network.

        Args:
            dataset: iterable of batches: images [B, H, W, C], `(images, ...)` as for `fit`, or
                dicts with `image` and optionally `valid`; or one such batch of images as an array.

        Returns:
            float.

        Raises:
            ValueError: there is no image.
        """
        spent = plain = 0
        for batch in batches_of(dataset):
            images, valid = images_of(batch)
            spent += int(tf.reduce_sum(self._flops(images, valid)))
            plain += self.plain_flops(images, valid)
        if not plain:
            raise ValueError("Expected at least one image to measure FLOPs on, received none")
        return spent / plain

    def plain_flops(self, images: tf.Tensor, valid: tf.Tensor | None) -> int:
        """FLOPs of the plain network for all images of a batch."""
        height, width = int(images.shape[1]), int(images.shape[2])
        if valid is None:
            return int(images.shape[0]) * self._plain_of_size(height, width)
        valid = np.asarray(valid)
        heights, widths = valid.any(axis=2).sum(axis=1), valid.any(axis=1).sum(axis=1)
        return sum(
            self._plain_of_size(int(h), int(w)) for h, w in zip(heights, widths, strict=True)
        )

    def _plain_of_size(self, height, width):
        if (height, width) not in self._plain:
            self._plain[height, width] = self.model.plain_flops(height, width)
        return self._plain[height, width]


def reachable_range(model: AdaptiveModel, height: int, width: int) -> tuple[float, float]:
    """The shares of the plain network's FLOPs between which halting can choose.

    The lower end is the entry units of each block alone (one in most networks), the upper one all
    units; both with the halting scores that have to be computed on the way, so the upper end is a
    little above 1.

    Args:
        model: see `FlopsShare`.
        height, width: of the images, in pixels.

    Returns:
        `(lowest, highest)`, floats.

    Raises:
        ValueError: see `FlopsShare`, or the model has no halting scores.
    """
    return _range(FlopsShare(model), height, width)


def check_budget(
    model: AdaptiveModel | FlopsShare, flops_ratio: float, sizes: Iterable[tuple[int, int]]
) -> None:
    """Refuses a budget that halting cannot meet.

    Args:
        model: see `FlopsShare`; or a `FlopsShare`, which spares compiling another.
        flops_ratio: the budget.
        sizes: (height, width) of the images, one or several.

    Raises:
        ValueError: with the range that can be reached.
    """
    share = model if isinstance(model, FlopsShare) else FlopsShare(model)
    areas = sorted(sizes, key=lambda size: size[0] * size[1])
    ranges = [_range(share, *size) for size in {areas[0], areas[-1]}]
    lowest, highest = min(low for low, _ in ranges), max(high for _, high in ranges)
    if not lowest <= flops_ratio <= highest:
        shown = " to ".join(
            f"{height}x{width}" for height, width in dict.fromkeys(areas[:: len(areas) - 1 or 1])
        )
        raise ValueError(
            f"Expected a budget between {lowest:.3f} (the entry of each block) and {highest:.3f} "
            "(all units, with their halting scores) of the plain network's FLOPs on images of "
            f"{shown} pixels, received flops_ratio={flops_ratio!r}"
        )


def _range(share, height, width):
    channels = share.model.image_shape[-1]
    image = np.zeros([1, height, width, channels], np.float32)
    ends = []
    for shift in (_SATURATING, -_SATURATING):
        with halting_logits_shifted(share.model, shift):
            ends.append(share(image))
    return tuple(ends)


def batches_of(dataset: Any) -> Iterable[Any]:
    """The batches of a data set in any of the forms that `FlopsShare` takes."""
    is_array = isinstance(dataset, np.ndarray) or tf.is_tensor(dataset)
    return [dataset] if is_array else dataset


def images_of(batch: Any) -> tuple[Any, Any]:
    """`(images, valid or None)` of a batch in any of the forms that `FlopsShare` takes."""
    if isinstance(batch, dict):
        if "image" not in batch:
            raise ValueError(f"Expected batches with a key 'image', received {sorted(batch)}")
        return batch["image"], batch.get("valid")
    if isinstance(batch, tuple | list):
        return batch[0], None
    return batch, None
