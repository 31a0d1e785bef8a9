"""Classes of two sides, matched by their names."""

from collections import Counter
from collections.abc import Sequence

_SHOWN = 5


def matching_classes(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """The classes that have the same name on both sides.

    A name that stands twice on a side says nothing there: it matches only if both sides are alike.

    Args:
        ours, theirs: one name per class.

    Returns:
        {number in `ours`: number in `theirs`}.
    """
    if list(ours) == list(theirs):
        return {number: number for number in range(len(ours))}
    counts = Counter(ours), Counter(theirs)
    numbers = {name: number for number, name in enumerate(theirs)}
    return {
        number: numbers[name]
        for number, name in enumerate(ours)
        if counts[0][name] == counts[1][name] == 1
    }


def shown_classes(names: Sequence[str]) -> str:
    """The first names for a message, and how many there are if that is more."""
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
