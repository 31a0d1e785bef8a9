"""How far an accuracy on some images may be from that on all images of the kind."""

import math


def standard_error(share: float, num_examples: int) -> float:
    """Of a share of independent examples, such as an accuracy: sqrt(p (1 - p) / n).

    Args:
        share: p.
        num_examples: n, at least 1.
    """
    return math.sqrt(share * (1 - share) / num_examples)
