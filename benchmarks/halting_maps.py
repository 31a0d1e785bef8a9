"""Halting maps of a given share and shape, fed to a network through its halting scores.

A benchmark needs to choose how much is computed: `ScriptedScore` takes the place of a block's
`HaltingScore`.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.ops.flops import count_positions
from sact_tf.ops.positions import strided_size
from sact_tf.ops.tiles import dilate
from sact_tf.tuning.scripted_score import scripted_scores

NUM_BLOBS = 3


def script_halting(model, num_units):
    """Replaces all halting scores of a model.

    Args:
        model: an `ImageClassifier` with halting="sact".
        num_units: list of int32 variables [B, H, W], one per block; see `script_block`.
    """
    for block, units in zip(model.backbone.blocks, num_units, strict=True):
        script_block(block, units)


def script_block(block, num_units):
    """Replaces the halting scores of one built `AdaptiveBlock`.

    Args:
        block: the block.
        num_units: [B, H, W], the units of each position from the block's last entry unit on.
    """
    block.halting_scores = scripted_scores(block, num_units, count_units(block))


def count_units(block):
    """Units of a block from its last entry unit on: the most that a position can use."""
    return len(block.units) - block.entry_units + 1


def map_sizes(strides, height, width):
    """(rows, columns) of each block's map."""
    return [(strided_size(height, stride), strided_size(width, stride)) for stride in strides]


def blob_maps(model, height, width, share, tile_sizes, batch, seed=0):
    """Numbers of units of a network that looks at a few blobs.

    The share of active positions falls linearly over a block's units with mean `share`; the
    positions are the most salient ones of a sum of smooth blobs, other ones for each image.

    Returns:
        List of int32 arrays [B, H, W], one per block, as `script_block` takes them.
    """
    maps = []
    for block, size, tile in zip(
        model.backbone.blocks,
        map_sizes(model.backbone.strides.values(), height, width),
        tile_sizes,
        strict=True,
    ):
        later_units = count_units(block) - 1
        first = min(1.0, 1.25 * share)
        shares = np.linspace(first, max(0.0, 2 * share - first), max(later_units, 1))[:later_units]
        images = [blobs(size, shares, tile, np.random.default_rng([seed, i])) for i in range(batch)]
        maps.append(np.stack(images).astype(np.int32))
    return maps


def blobs(size, shares, tile, rng):
    """Units per position, [H, W]: 1 + the number of `shares` that the position is among.

    Args:
        size: (H, W).
        shares: share of the positions that each unit after the first runs at.
        tile: side of the tiles that halt as one.
        rng: where the blobs come from.
    """
    tiles = [-(-length // tile) for length in size]
    rows, columns = np.mgrid[0 : tiles[0], 0 : tiles[1]]
    rows, columns = (rows + 0.5) / tiles[0], (columns + 0.5) / tiles[1]
    saliency = 1e-3 * columns + 1e-4 * rows
    for _ in range(NUM_BLOBS):
        centre, width = rng.uniform(0.1, 0.9, 2), rng.uniform(0.1, 0.25, 2)
        distance = ((rows - centre[0]) / width[0]) ** 2 + ((columns - centre[1]) / width[1]) ** 2
        saliency = np.maximum(saliency, np.exp(-distance) + 1e-6 / (1 + distance))
    rank = np.argsort(np.argsort(-saliency.ravel())).reshape(saliency.shape) / saliency.size
    num_units = 1 + sum((rank < share).astype(int) for share in shares)
    spread = np.repeat(np.repeat(num_units, tile, axis=0), tile, axis=1)
    return spread[: size[0], : size[1]]


def flops_ratio(model, height, width, maps):
    """Operations per image under the given maps / those of the same network without halting."""
    batch = len(maps[0])
    flops = model.backbone.stem.flops([batch, height, width, 1]) + model.head.flops()
    sides = [strided_size(length, model.backbone.stem.stride) for length in (height, width)]
    for block, units in zip(model.backbone.blocks, maps, strict=True):
        policy = block.halting_policy
        for unit in block.units[: block.entry_units]:
            flops += unit.flops_of(*sides)
            sides = [strided_size(length, unit.stride) for length in sides]
        everywhere = tf.fill([batch], tf.constant(math.prod(sides), tf.int64))
        flops += policy.flops_at(0, None, everywhere, everywhere)
        for index, unit in enumerate(block.units[block.entry_units :], start=1):
            active = tf.constant(units > index)
            counts = [count_positions(positions) for positions in (dilate(active), active)]
            flops += policy.flops_at(index, unit, *counts)
    return float(np.mean(flops.numpy())) / model.plain_flops(height, width)


def maps_for_ratio(model, height, width, target, tile_sizes, batch):
    """Blob maps with a given FLOPs ratio; `target=None` is everything active.

    Raises:
        UserError: the network cannot reach the target.
    """

    def build(share):
        maps = blob_maps(model, height, width, share, tile_sizes, batch)
        return maps, flops_ratio(model, height, width, maps)

    (_, lowest), (everything, highest) = build(0.0), build(1.0)
    if target is None:
        return everything, highest
    if not lowest <= target <= highest:
        raise UserError(
            f"--flops_ratio={target:g} cannot be reached: at {height}x{width} this network spends "
            f"between {lowest:.3f} and {highest:.3f} of the plain one (the root and each block's "
            "entry units always run)"
        )
    low, high = 0.0, 1.0
    for _ in range(12):
        share = (low + high) / 2
        maps, ratio = build(share)
        low, high = (share, high) if ratio < target else (low, share)
    return maps, ratio


def fresh_scores(model, seed=0):
    """Random statistics and scales in all batch normalizations, so that no term is trivial."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in (layer.gamma, layer.moving_variance):
                weight.assign(rng.uniform(0.8, 1.2, weight.shape))
            for weight in (layer.beta, layer.moving_mean):
                weight.assign(rng.normal(0, 0.1, weight.shape))
