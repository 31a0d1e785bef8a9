"""What was measured on one machine and decides how the same numbers are computed.

Device: two cores of an Intel Xeon virtual machine (AVX-512), TensorFlow 2.20, float32, 600x1000,
November 2026. A GPU or another processor uses the same values, measured there or not; they move
time, never results. The tables and the commands are in docs/performance.md.
"""

from typing import Any, NamedTuple


class Tuning(NamedTuple):
    """How a block computes what is active.

    Attributes:
        window: the most positions along a side of a window; 0 for rows of single positions.
        dense_share: share of windows or rows above which "auto" runs a unit densely.
    """

    window: int
    dense_share: float


ROWS = Tuning(window=0, dense_share=0.9)


def default_window(unit: Any, tile_size: int) -> int:
    """`Tuning.window` for blocks of a unit (see `ResidualUnit`) with tiles that halt as one.

    Windows pay for basic units whose tiles halt as a whole and fill a window; smaller tiles leave
    windows half empty, and of wide features rows are faster. 2026-11-26,
    python -m benchmarks.break_even --unit=basic --image_size=96x96 --batch=64 --base_channels=12
    --tile_size=8 (and 1, 16; and bottlenecks)
    """
    has_windows = hasattr(unit, "residual_windows") and _reads_far(unit)
    return 8 if has_windows and tile_size >= 8 else ROWS.window


def default_dense_share(unit: Any, window: int) -> float:
    """`Tuning.dense_share` for blocks of a unit, with windows of a size or rows (0).

    Of basic units dense ones and rows take the same time at 0.15 to 0.3 of the positions, dense
    ones and windows at 0.37 to 0.46; of bottlenecks dense ones and rows at 0.9, for all widths.
    2026-11-26, measured as `default_window` and by benchmarks.break_even --image_size=600x1000
    """
    if window:
        return 0.45
    return 0.25 if _reads_far(unit) else ROWS.dense_share


def _reads_far(unit):
    """Whether 3x3 convolutions follow each other, as in basic units."""
    return (getattr(unit, "reach", None) or 0) > 1


# From this width on a 3x3 convolution of a small map is faster as a gather and a product, which
# don't depend on how the map's size suits the convolution's kernels. 2026-11-25, in the network:
# python -m benchmarks.tiled_execution --depth=101 --image_size=600x1000 --flops_ratio=0.56
PRODUCT_FILTERS = 512


def share_for_map(filters: int) -> float:
    """Share of active positions from which narrow rows are faster convolved on the whole map.

    A line through 64 and 128 filters, 2026-11-26: single 3x3 convolutions, timed by hand outside of
    the network ("Where a map is convolved whole" in docs/performance.md).
    """
    return 0.25 + filters / 256


def share_for_map_in_training(filters: int) -> float:
    """The same in training, where the gradients gather nine neighbours or convolve maps, too.

    A line through 16 to 512 filters, 2026-11-26: a single 3x3 convolution and its gradients on maps
    of 56x56 to 7x7, timed by hand ("Training" in docs/performance.md).
    """
    return 0.3 + filters / 512


# The same of the halting scores' sums over neighbours, which are of nine columns at any width.
SHARE_FOR_MAP_OF_SUMS = 0.3


def suits_fused_normalization(channels: int) -> bool:
    """Whether the fused kernel normalizes maps of a width in inference as fast as plain operations.

    Of 24 channels it takes three times as long, of 12 and of multiples of 16 it does not.
    2026-11-26, single operations on 64 maps of 48x48x12, 24x24x24 and 12x12x48, timed by hand.
    """
    return channels <= 16 or channels % 16 == 0
