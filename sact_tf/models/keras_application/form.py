"""What a ResNet V2 network of `keras.applications` consists of, read from its weights by layer.

The layers are named `conv1_conv`; `conv2_block1_preact_bn`, `..._0_conv` (the shortcut),
`..._1_conv`, `..._1_bn`, `..._2_conv`, `..._2_bn`, `..._3_conv` for the stages 2 to 5 and each of
their blocks, which are residual units here; `post_bn` and `predictions`.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from sact_tf.errors import UserError
from sact_tf.models.depths import depth_of_units

Weights = Mapping[str, Sequence[np.ndarray]]

_ALLOWED = "a ResNet V2 of keras.applications (ResNet50V2, ResNet101V2, ResNet152V2)"
_UNIT = re.compile(r"conv(\d+)_block(\d+)_")
_FIRST_STAGE = 2
PREDICTIONS = "predictions"


@dataclasses.dataclass(frozen=True)
class KerasForm:
    """A network of the form of `keras.applications.ResNet50V2`.

    Attributes:
        units: residual units of each stage.
        base_channels: filters of the first stage.
        stem_channels: filters of the root.
        image_channels: channels of the images.
        num_classes: classes of the top; None without one.
    """

    units: tuple[int, ...]
    base_channels: int
    stem_channels: int
    image_channels: int
    num_classes: int | None

    @property
    def title(self) -> str:
        """For people: `ResNet50V2`, or the units per stage of another network."""
        depth = depth_of_units(self.units)
        if depth and self.base_channels == 64:
            return f"ResNet{depth}V2"
        return f"ResNet V2 of {'-'.join(map(str, self.units))} units"


def form_of(weights: Weights) -> KerasForm:
    """Finds units, widths and classes.

    Args:
        weights: arrays of each layer by its name; layers without weights do no harm.

    Raises:
        UserError: the names or the shapes are not those of a ResNet V2; says what is missing.
    """
    weights = {name: arrays for name, arrays in weights.items() if arrays}
    _check_names(weights)
    found = {
        (int(match[1]), int(match[2])) for match in map(_UNIT.match, weights) if match is not None
    }
    units = []
    for stage in range(_FIRST_STAGE, max(stage for stage, _ in found) + 1):
        numbers = sorted(number for owner, number in found if owner == stage)
        if len(numbers) < 2 or numbers != list(range(1, len(numbers) + 1)):
            raise UserError(f"expected {_ALLOWED}; found the blocks {numbers} in stage conv{stage}")
        units.append(len(numbers))
    top = weights.get(PREDICTIONS)
    root = weights["conv1_conv"][0]
    return KerasForm(
        units=tuple(units),
        base_channels=weights["conv2_block1_1_conv"][0].shape[-1],
        stem_channels=root.shape[-1],
        image_channels=root.shape[-2],
        num_classes=None if top is None else top[0].shape[-1],
    )


def unit_prefix(stage: int, unit: int) -> str:
    """Beginning of the names of a unit's layers; both are counted from 0."""
    return f"conv{stage + _FIRST_STAGE}_block{unit + 1}_"


def _check_names(weights):
    needed = ("conv1_conv", "conv2_block1_preact_bn", "conv2_block1_1_conv", "post_bn")
    missing = [name for name in needed if name not in weights]
    if not missing:
        return
    if "conv1_bn" in weights and "conv2_block1_1_bn" in weights:
        found = "found a ResNet V1 (or ResNeXt), which normalizes after its convolutions"
    elif weights:
        names = list(weights)
        found = f"found no {missing[0]} among {len(names)} layers such as {', '.join(names[:3])}"
    else:
        found = "found no layer with weights"
    raise UserError(f"expected {_ALLOWED}; {found}")
