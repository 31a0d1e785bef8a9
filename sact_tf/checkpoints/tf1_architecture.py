"""Finds out from a checkpoint's variables which network they belong to."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from sact_tf.checkpoints.tf1_names import CIFAR_SCOPE, IMAGENET_SCOPE
from sact_tf.errors import UserError
from sact_tf.models import ResNetBackbone
from sact_tf.models.depths import depth_of_units

Shapes = Mapping[str, tuple[int, ...]]

_BLOCK = {
    IMAGENET_SCOPE: r"resnet_v2/block(\d+)/unit_(\d+)/",
    CIFAR_SCOPE: r"resnet_residual/block_(\d+)/unit_(\d+)/",
}
_ROOT = {IMAGENET_SCOPE: "resnet_v2/conv1/weights", CIFAR_SCOPE: "resnet_residual/Conv/weights"}
_NUM_BLOCKS = {IMAGENET_SCOPE: 4, CIFAR_SCOPE: 3}


@dataclasses.dataclass(frozen=True)
class Tf1Architecture:
    """A network of the authors' programs.

    Attributes:
        network: "imagenet" (bottleneck units) or "cifar" (basic units).
        units: units per block.
        base_channels: filters of the first block's units.
        stem_channels: channels of the root convolution.
        halting: None, "act" or "sact".
        num_classes: number of logits.
    """

    network: str
    units: tuple[int, ...]
    base_channels: int
    stem_channels: int
    halting: str | None
    num_classes: int

    @property
    def scope(self) -> str:
        """First part of the variables' names."""
        return IMAGENET_SCOPE if self.network == "imagenet" else CIFAR_SCOPE

    @property
    def title(self) -> str:
        """For people: `ResNet-101`, or the units per block where the network has no such name."""
        units = "-".join(str(number) for number in self.units)
        if self.network == "cifar":
            # Two convolutions a unit, the root and the logits, as the paper counts them.
            return f"CIFAR ResNet-{2 * sum(self.units) + 2}, units {units}"
        depth = depth_of_units(self.units)
        name = f"ResNet-{depth}" if depth else "ResNet"
        return f"ImageNet {name}, units {units}"

    @property
    def preprocessing(self) -> dict:
        """The authors' evaluation preprocessing (`sact_tf.data.preprocessing`)."""
        if self.network == "imagenet":
            return {"name": "imagenet", "image_size": 224}
        return {"name": "cifar"}

    def build_backbone(self, **options: Any) -> ResNetBackbone:
        """The backbone, with the batch norm constants and weight decay of the authors' programs.

        Args:
            **options: further arguments of `ResNetBackbone`.
        """
        if self.network == "imagenet":
            return ResNetBackbone(
                units=self.units,
                base_channels=self.base_channels,
                stem_channels=self.stem_channels,
                halting=self.halting,
                **{"batch_norm_momentum": 0.997, **options},
            )
        return ResNetBackbone.cifar(
            self.units, base_channels=self.base_channels, halting=self.halting, **options
        )


def infer_architecture(shapes: Shapes) -> Tf1Architecture:
    """Finds network, depth, width, halting and number of classes.

    Args:
        shapes: shape of each variable by its name. Other variables than the network's do no harm.

    Returns:
        The architecture. Whether each of its variables exists is not checked here.

    Raises:
        UserError: the names are not those of the authors' networks, or they contradict each other.
    """
    scopes = [scope for scope in _BLOCK if any(name.startswith(scope + "/") for name in shapes)]
    if len(scopes) != 1:
        found = f"has both {' and '.join(scopes)}" if scopes else f"has {_examples(shapes)}"
        raise UserError(
            "not a checkpoint of the authors' networks: expected variables below "
            f"{IMAGENET_SCOPE}/ (ImageNet) or {CIFAR_SCOPE}/ (CIFAR), {found}"
        )
    scope = scopes[0]
    units = _units_per_block(scope, shapes)
    if scope == IMAGENET_SCOPE:
        first = "resnet_v2/block1/unit_1/bottleneck_v2/conv1/weights"
    else:
        first = "resnet_residual/block_1/unit_1/residual/conv1/weights"
    base_channels = _out_channels(first, shapes)
    if scope == CIFAR_SCOPE and base_channels % 2:
        # The shortcut pads half of the new channels on each side.
        raise UserError(
            f"unexpected shape of {first}: expected an even number of channels, received "
            f"{base_channels}"
        )
    return Tf1Architecture(
        network="imagenet" if scope == IMAGENET_SCOPE else "cifar",
        units=units,
        base_channels=base_channels,
        stem_channels=_out_channels(_ROOT[scope], shapes),
        halting=_halting(shapes),
        num_classes=_out_channels(f"{scope}/logits/weights", shapes),
    )


def _units_per_block(scope, shapes) -> tuple[int, ...]:
    matches = [re.match(_BLOCK[scope], name) for name in shapes]
    found = {(int(match[1]), int(match[2])) for match in matches if match}
    units = []
    for block in range(1, _NUM_BLOCKS[scope] + 1):
        numbers = sorted(unit for owner, unit in found if owner == block)
        if not numbers or numbers != list(range(1, len(numbers) + 1)):
            raise UserError(
                f"incomplete checkpoint: block {block} of {_NUM_BLOCKS[scope]} has "
                + (f"only the units {numbers}" if numbers else "no units")
            )
        units.append(len(numbers))
    return tuple(units)


def _halting(shapes) -> str | None:
    branches = [name for name in shapes if "/halting_proba/" in name]
    if not branches:
        return None
    return "sact" if any("/halting_proba/local_" in name for name in branches) else "act"


def _out_channels(name, shapes) -> int:
    shape = tuple(shapes.get(name, ()))
    if name not in shapes:
        raise UserError(f"incomplete checkpoint: the variable {name} is missing")
    if len(shape) != 4 or min(shape) < 1:
        raise UserError(
            f"unexpected shape of {name}: expected [height, width, in, out], received {list(shape)}"
        )
    return int(shape[-1])


def _examples(shapes) -> str:
    if not shapes:
        return "no variables"
    # A kernel says more of a network than its steps and scalars.
    example = min(shapes, key=lambda name: (-min(len(shapes[name]), 2), name))
    return f"{len(shapes)} others such as {example}"
