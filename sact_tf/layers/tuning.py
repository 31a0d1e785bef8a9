"""What was measured on one machine and decides how the same numbers are computed.

Device: two cores of an Intel Xeon virtual machine (AVX-512), TensorFlow 2.20, float32, 600x1000,
November 2026. A GPU or another processor uses the same values, measured there or not; they move
time, never results. The tables and the commands are in docs/performance.md. What "tiled" and "auto"
choose by is in `costs.py`, and can be measured anew.
"""

import math

# From this width on a 3x3 convolution of a small map is faster as a gather and a product, which
# don't depend on how the map's size suits the convolution's kernels. 2026-11-25, in the network:
# python -m benchmarks.tiled_execution --depth=101 --image_size=600x1000 --flops_ratio=0.56
PRODUCT_FILTERS = 512


def share_for_map(filters: int) -> float:
    """Share of active positions from which narrow rows are faster convolved on the whole map.

    A line through 64 and 128 filters, 2026-11-26: single 3x3 convolutions, timed by hand outside of
    the network ("Where a map is convolved whole" in docs/notes/performance.md).
    """
    return 0.25 + filters / 256


def share_for_map_in_training(filters: int) -> float:
    """The same in training, where the gradients gather nine neighbours or convolve maps, too.

    A line through 16 to 512 filters, 2026-11-26: a single 3x3 convolution and its gradients on maps
    of 56x56 to 7x7, timed by hand ("Training" in docs/performance.md).
    """
    return 0.3 + filters / 512


def share_for_static_rows(filters: int, reach: int) -> float:
    """Capacity up to which static execution gathers rows instead of computing the whole map.

    2026-11-27, compiled by XLA: two units after the first of a block, halting scores included, at
    0.4 and 0.8 of the positions. Bottlenecks (reach 1), one image of 600x1000, cost as much in rows
    as densely at 0.61 (64 filters), 0.85, 0.93 and 0.88 (512) of the positions; basic units of 12
    to 48 channels, whose first of two 3x3 convolutions stays dense, at about 0.35.
    """
    if reach > 1:
        return 0.35
    return min(max(0.6 + 0.25 * math.log2(filters / 64), 0.3), 0.9)


# The same of the halting scores' sums over neighbours, which are of nine columns at any width.
SHARE_FOR_MAP_OF_SUMS = 0.3

# Up to this width halting scores of maps, in inference and with an activation before them, are a
# depthwise convolution and a sum: 0.68 to 0.7 of the time of products and shifted sums at 12 to 24
# channels, as much at 32, more from there on. 2026-11-27, single operations on 32 maps of 96x96x12,
# 48x48x24, 24x24x48 and 64 of 32x32x16, 16x16x32, timed by hand.
MOST_CHANNELS_OF_DEPTHWISE_SCORE = 24
