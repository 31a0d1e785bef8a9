"""Settings of a backbone that are one value for all blocks, or one for each."""

from collections.abc import Iterable
from typing import Any


def checked_tile_sizes(tile_size: Any, num_blocks: int) -> tuple[int, ...]:
    """One tile size for each block; raises ValueError where that is no positive int."""
    sizes = tile_size if isinstance(tile_size, tuple | list) else (tile_size,) * num_blocks
    if len(sizes) != num_blocks or any(
        isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in sizes
    ):
        raise ValueError(
            f"Expected tile_size to be a positive int or one per block ({num_blocks}), received "
            f"tile_size={tile_size!r}"
        )
    return tuple(sizes)


def per_block(name: str, value: Any, num_blocks: int) -> tuple[Any, ...]:
    """One value for each block, of one for all or one for each; `name` is for the ValueError."""
    if not isinstance(value, tuple | list):
        return (value,) * num_blocks
    if len(value) != num_blocks:
        raise ValueError(
            f"Expected {name} to be one value or one per block ({num_blocks}), received "
            f"{name}={value!r}"
        )
    return tuple(value)


def one_or_all(values: Iterable[Any]) -> Any:
    """The value that all blocks have, or else a tuple of one for each."""
    values = tuple(values)
    return values[0] if all(value == values[0] for value in values) else values
