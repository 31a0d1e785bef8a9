"""Units per block of the standard ImageNet networks."""

from collections.abc import Sequence

UNITS_OF_DEPTH = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


def units_of_depth(depth: int) -> tuple[int, ...]:
    """Units per block of ResNet-`depth`. Raises ValueError for an unknown depth."""
    if depth not in UNITS_OF_DEPTH:
        raise ValueError(f"Expected depth to be one of {tuple(UNITS_OF_DEPTH)}, received {depth!r}")
    return UNITS_OF_DEPTH[depth]


def depth_of_units(units: Sequence[int]) -> int | None:
    """The standard depth with these units per block, or None."""
    return next((depth for depth, known in UNITS_OF_DEPTH.items() if known == tuple(units)), None)
