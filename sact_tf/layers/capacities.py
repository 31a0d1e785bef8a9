"""How many positions may enter the units of a block at most."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sact_tf.ops.capacity import PER


@dataclasses.dataclass(frozen=True)
class Capacities:
    """The capacities of a block's units after the entry units.

    Attributes:
        shares: one in (0, 1] for each unit, none larger than the one before; a share of the map's
            positions, or of its tiles. 1 is no limit.
        per: "image", or "batch" where images share a capacity.
    """

    shares: tuple[float, ...]
    per: str = "image"

    def to_config(self) -> dict[str, Any]:
        """The capacities as a JSON-able dict, which `capacities_from` takes."""
        return {"shares": list(self.shares), "per": self.per}


def capacities_from(value: Any, num_units: int) -> Capacities:
    """Checks capacities.

    Args:
        value: `Capacities`, a mapping with `shares` and perhaps `per`, or shares alone: a list of
            one for each unit, or one number for all.
        num_units: units after the entry units.

    Raises:
        ValueError: what came is no capacities of such a block.
    """
    given = value.to_config() if isinstance(value, Capacities) else value
    if not isinstance(given, Mapping):
        given = {"shares": given}
    if not {"shares"} <= given.keys() <= {"shares", "per"}:
        raise ValueError(f"Expected capacities to have shares and per, received {value!r}")
    shares, per = given["shares"], given.get("per", "image")
    if per not in PER:
        raise ValueError(f"Expected capacities per one of {PER}, received per={per!r}")
    if _is_number(shares):
        shares = [shares] * num_units
    if not isinstance(shares, list | tuple) or len(shares) != num_units:
        raise ValueError(
            "Expected capacities to be a share or one for each unit after the entry units "
            f"({num_units}), received {value!r}"
        )
    if not all(_is_number(share) and 0 < share <= 1 for share in shares):
        raise ValueError(f"Expected capacities to be shares in (0, 1], received {value!r}")
    if list(shares) != sorted(shares, reverse=True):
        raise ValueError(
            "Expected capacities that do not grow from unit to unit, for what has halted does not "
            f"come back, received {value!r}"
        )
    return Capacities(tuple(map(float, shares)), per)


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)
