"""The watch for dead units: units at the end of a block that no position reaches."""

from collections.abc import Iterator, Mapping, Sequence


def usage_lines(usage: Mapping[str, Sequence[float]]) -> list[str]:
    """What the log says about which share of positions reaches each unit.

    Args:
        usage: per block, the share (0 to 1) of positions that unit 1, 2, ... is computed at.
    """
    return [
        f"  {block}: units reached by " + ", ".join(f"{share:.1%}" for share in shares)
        for block, shares in usage.items()
    ]


def dead_units(usage: Mapping[str, Sequence[float]]) -> list[str]:
    """Names of the units that no position of a whole evaluation has reached, as `block2/unit_5`."""
    return [
        f"{block}/unit_{number}"
        for block, shares in usage.items()
        for number, share in enumerate(shares, start=1)
        if share == 0
    ]


def usage_scalars(usage: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The shares by name, for TensorBoard."""
    return {
        f"unit_usage/{block}/unit_{number}": float(share)
        for block, shares in usage.items()
        for number, share in enumerate(shares, start=1)
    }


def usage_remarks(usage: Mapping[str, Sequence[float]], has_budget: bool) -> Iterator[str]:
    """Lines for the log after an evaluation: the use of all units, and a warning of dead ones.

    Args:
        usage: shares by block.
        has_budget: whether a budget chooses the ponder weight.
    """
    yield from usage_lines(usage)
    if dead := dead_units(usage):
        remedy = "a larger flops_budget" if has_budget else "a lower ponder_weight or halting_bias"
        yield (
            f"warning: no position of any held-out image reached {', '.join(dead)}; {remedy} keeps "
            "units alive"
        )
