"""Values of the benchmarks' flags."""

import re

from absl import flags

from sact_tf.errors import UserError
from sact_tf.models.depths import UNITS_OF_DEPTH


def define_depth(default):
    """The flag --depth."""
    depths = ", ".join(map(str, UNITS_OF_DEPTH))
    depth = flags.DEFINE_integer("depth", default, f"Layers of the ResNet: {depths}.")
    flags.register_validator(depth, UNITS_OF_DEPTH.__contains__, f"expected one of {depths}")
    return depth


def image_size(text):
    """ "600x1000" -> (600, 1000)."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not found:
        raise UserError(f"--image_size: expected HEIGHTxWIDTH such as 600x1000, received {text!r}")
    return int(found[1]), int(found[2])


def check_executions(names, known):
    """Raises where --executions has a name that is not known."""
    unknown = set(names) - set(known)
    if unknown:
        raise UserError(f"--executions: expected some of {known}, received {sorted(unknown)}")


def float_or_all(text):
    """A FLOPs ratio; None for "all"."""
    if text == "all":
        return None
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--flops_ratio: expected numbers or `all`, received {text!r}") from None


def tile_sizes(texts):
    """One tile size for each of the four blocks."""
    if not all(text.isdigit() and int(text) > 0 for text in texts) or len(texts) not in (1, 4):
        raise UserError(f"--tile_size: expected one or four positive ints, received {texts}")
    return [int(text) for text in texts] * (4 // len(texts))
