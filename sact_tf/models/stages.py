"""Which units make up the blocks of a network, for both places that its strides may stand at."""

from collections.abc import Sequence
from typing import NamedTuple

STRIDED_UNITS = ("first", "last")


class BlockUnits(NamedTuple):
    """The units of a block.

    Attributes:
        units: (filters, stride) of each unit.
        entry_units: how many of them run everywhere; see `AdaptiveBlock`.
    """

    units: list[tuple[int, int]]
    entry_units: int


def blocks_of_stages(
    units: Sequence[int], base_channels: int, strided_unit: str
) -> list[BlockUnits]:
    """The blocks of a network, whose units share one resolution each once they have been entered.

    Args:
        units: units of each stage, which share their filters: `base_channels * 2**stage`.
        base_channels: filters of the first stage.
        strided_unit: "first" (each stage but the first begins with a stride of 2, and is a block)
            or "last" (each stage but the last ends with a stride of 2, and this unit opens the next
            block: it changes the resolution, the unit after it the channels).

    Returns:
        One `BlockUnits` for each stage.
    """
    blocks = []
    for index, number in enumerate(units):
        stage = [(base_channels * 2**index, 1)] * number
        if index == 0:
            blocks.append(BlockUnits(stage, 1))
        elif strided_unit == "first":
            blocks.append(BlockUnits([(stage[0][0], 2), *stage[1:]], 1))
        else:
            filters, _ = blocks[-1].units.pop()
            blocks.append(BlockUnits([(filters, 2), *stage], 2))
    return blocks


def units_of_stages(units_of_blocks: Sequence[int], strided_unit: str) -> list[int]:
    """Units of each stage from those of each block: the way back from `blocks_of_stages`."""
    units = list(units_of_blocks)
    if strided_unit == "last":
        units[0] += 1
        units[-1] -= 1
    return units
