"""A hard limit at inference: units that no image can make compute more than was chosen."""

import dataclasses
import math
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from sact_tf.budget.flops_share import FlopsShare, batches_of, images_of
from sact_tf.errors import UserError
from sact_tf.layers.capacities import Capacities
from sact_tf.models.per_block import per_block
from sact_tf.models.settings import drop_compiled
from sact_tf.ops.capacity import PER, capacity_count
from sact_tf.ops.positions import strided_size


@dataclasses.dataclass(frozen=True)
class CappedUnit:
    """A unit's capacity, and whom it keeps out of the images that it was measured on.

    Attributes:
        block: name of the block.
        unit: number of the unit in its block, from 1.
        capacity: the most of the map's positions (or tiles) that enter, a share.
        limited: share of the images (of the batches, where these share a capacity) of which more
            would have entered without any capacities.
        cut: share of the positions that would have entered, and are beyond the capacity.
    """

    block: str
    unit: int
    capacity: float
    limited: float
    cut: float


@dataclasses.dataclass(frozen=True)
class Caps:
    """What `cap` set, and what it does to the images that it was measured on.

    Attributes:
        units: a `CappedUnit` for each unit after the entry units.
        flops_before: mean share of the plain network's FLOPs without capacities.
        flops_after: the same with them.
        flops_at_most: no image, and with a shared capacity no batch, spends a larger share, of
            these sizes.
    """

    units: tuple[CappedUnit, ...]
    flops_before: float
    flops_after: float
    flops_at_most: float

    def __str__(self) -> str:
        lines = ["block     unit  capacity  limited      cut"]
        lines += [
            f"{u.block:9s} {u.unit:4d} {u.capacity:9.3f} {u.limited:8.3f} {u.cut:8.3f}"
            for u in self.units
        ]
        flops = f"{self.flops_before:.3f} before, {self.flops_after:.3f} after, at most"
        return "\n".join([*lines, f"FLOPs: {flops} {self.flops_at_most:.3f}"])


def cap(
    model: keras.Model,
    images: Any,
    quantile: float | None = None,
    capacities: Any = None,
    per: str = "image",
) -> Caps:
    """Limits what any image can make a trained network compute, and tells what that cuts.

    Without a limit an image of many details costs more than others. With it each unit after the
    entry units has a capacity: the positions with the largest remainder go on, the others halt
    where they are, by the network's own rule. The model is changed in place; the capacities are
    part of its configuration, so whatever is saved or exported from it has them. No training. A
    `tf.function` of your own must be traced anew.

        caps = sact_tf.budget.cap(model, images, quantile=0.95)
        print(caps)
        model.save("model.keras")

    Args:
        model: an `AdaptiveModel` with SACT.
        images: batches of preprocessed images in any form that `FlopsShare` takes, read twice.
            Capacities are shares of a map with its padding, so with `valid` pad as you will later.
        quantile: of the images' own shares of active positions (of tiles, which halt as one)
            before each unit, which become its capacity: 0.95 limits about every twentieth image, 1
            none of these. 0.95 unless given, if there are no `capacities`.
        capacities: in place of a quantile, as `sact_tf.set_capacities` takes them, for the
            blocks that the model runs.
        per: with a quantile, "image" or "batch"; the images of a batch share its capacity, so one
            can have what others leave. Give batches of the size that will come.

    Returns:
        `Caps`, whose `str` is a table.

    Raises:
        UserError: the model has no SACT, there are no images, or the arguments do not fit.
        ValueError: these are no capacities of this model.

    Example:
        >>> import numpy as np
        >>> import sact_tf
        >>> backbone = sact_tf.models.ResNetBackbone.cifar(units_per_block=3, halting="sact")
        >>> images = np.random.default_rng(0).normal(size=[4, 16, 16, 3]).astype("float32")
        >>> caps = sact_tf.budget.cap(backbone, images, capacities=0.5)
        >>> [unit.capacity for unit in caps.units], caps.flops_after <= caps.flops_at_most
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], True)

    Reference: arXiv:2106.05974 and arXiv:2404.02258 limit the tokens of a layer of a transformer.
    """
    blocks = _checked(model, quantile, capacities, per)
    before = [block.capacities for block in blocks]
    try:
        _set(model, blocks, [None] * len(blocks))
        free = _measure(model, blocks, images)
        if capacities is None:
            chosen = _quantiles(free, 0.95 if quantile is None else quantile, per)
        else:
            chosen = per_block("capacities", capacities, len(blocks))
        _set(model, blocks, chosen)
    except BaseException:
        _set(model, blocks, before)
        raise
    after = FlopsShare(model)(images)
    units = [
        unit
        for block, batches in zip(blocks, free.entering, strict=True)
        for unit in _units(block, batches)
    ]
    return Caps(tuple(units), free.flops, after, _most(model, blocks, free.sizes))


def _checked(model, quantile, capacities, per):
    """The blocks that the model runs."""
    if getattr(model, "halting_kind", None) != "sact":
        raise UserError(
            "Expected an ImageClassifier, a FasterRCNN or a ResNetBackbone with halting='sact', "
            f"received a {type(model).__name__}"
            + (f" with halting={model.halting_kind!r}" if hasattr(model, "halting_kind") else "")
        )
    if capacities is not None and (quantile is not None or per != "image"):
        raise UserError(
            "Expected capacities, which say themselves what they are per, or a quantile: received "
            f"capacities={capacities!r}, quantile={quantile!r}, per={per!r}"
        )
    if quantile is not None and not 0 < quantile <= 1:
        raise UserError(f"Expected a quantile in (0, 1], received quantile={quantile!r}")
    if per not in PER:
        raise UserError(f"Expected per to be one of {PER}, received per={per!r}")
    return getattr(model, "backbone", model).blocks_up_to(model.block_names[-1])


def _set(model, blocks, capacities):
    for block, of_block in zip(blocks, capacities, strict=True):
        block.capacities = of_block
    drop_compiled(model)


class _Entering(NamedTuple):
    """How many tiles of each image enter a block's later units, int [B, units], of how many."""

    counts: np.ndarray
    tiles: int


class _Free(NamedTuple):
    """What a network does without capacities: for each block an `_Entering` of each batch."""

    entering: list[list[_Entering]]
    flops: float
    sizes: list[tuple[int, int]]


def _measure(model, blocks, images):
    @tf.function(reduce_retracing=True, autograph=False)
    def run(batch, valid):
        outputs = model.forward(batch, valid, training=False)
        num_units = [
            # The first position of a tile is inside the image if any of them is.
            outputs["halting"][b.name]["num_units"][:, :: b.tile_size, :: b.tile_size]
            for b in blocks
        ]
        return num_units, outputs["flops"]

    share, spent, plain = FlopsShare(model), 0, 0
    entering = [[] for _ in blocks]
    for batch in batches_of(images):
        pixels, valid = images_of(batch)
        num_units, flops = run(pixels, valid)
        spent += int(tf.reduce_sum(flops))
        plain += share.plain_flops(pixels, valid)
        for block, of_block, units in zip(blocks, entering, num_units, strict=True):
            # Whoever ran so many units entered the one with this number.
            numbers = np.arange(block.entry_units, len(block.units)) + 1
            enters = units.numpy()[..., np.newaxis] >= numbers
            of_block.append(_Entering(enters.sum(axis=(1, 2)), math.prod(units.shape[1:])))
    if not plain:
        raise UserError("Expected at least one image to measure capacities on, received none")
    return _Free(entering, spent / plain, share.sizes)


def _of_groups(batches, per):
    """`(entering, of)`: int [N, units] and [N, 1], tiles by image or by batch."""
    counts = [b.counts if per == "image" else b.counts.sum(axis=0)[np.newaxis] for b in batches]
    tiles = [b.tiles if per == "image" else b.tiles * len(b.counts) for b in batches]
    of = [np.full([len(each), 1], number) for each, number in zip(counts, tiles, strict=True)]
    return np.concatenate(counts), np.concatenate(of)


def _quantiles(free, quantile, per):
    chosen = []
    for batches in free.entering:
        entering, of = _of_groups(batches, per)
        # A share that some image has, so that what is at the quantile fits in.
        shares = np.quantile(entering / of, quantile, axis=0, method="higher")
        shares = np.maximum(shares, 1 / of.max())
        chosen.append(Capacities(tuple(map(float, shares)), per) if shares.size else None)
    return chosen


def _units(block, batches):
    if block.capacities is None:
        return
    entering, of = _of_groups(batches, block.capacities.per)
    numbers = range(block.entry_units + 1, len(block.units) + 1)
    for number, share, counts in zip(numbers, block.capacities.shares, entering.T, strict=True):
        beyond = counts - np.array([capacity_count(share, int(n)) for n in of[:, 0]])
        beyond = np.maximum(beyond, 0)
        cut = beyond.sum() / max(counts.sum(), 1)
        yield CappedUnit(block.name, number, share, float((beyond > 0).mean()), float(cut))


def _most(model, blocks, sizes):
    """Share of the plain network's FLOPs where all capacities are filled, of the dearest size."""
    strides = getattr(model, "backbone", model).strides
    shares = []
    for height, width in sizes:
        plain = model.plain_flops(height, width)
        spent = plain
        for block in blocks:
            sides = [strided_size(side, strides[block.name]) for side in (height, width)]
            spent += _beyond_plain(block, *sides)
        shares.append(spent / plain)
    return max(shares)


def _beyond_plain(block, height, width):
    """FLOPs of a block at its capacities over those of the plain one, for a map of a size."""
    policy, size = block.halting_policy, block.tile_size
    positions = tf.constant(height * width, tf.int64)
    tiles = strided_size(height, size) * strided_size(width, size)
    flops = policy.flops_at(0, None, positions, positions)
    for index, unit in enumerate(block.units[block.entry_units :], start=1):
        share = policy.capacity(index)
        if block.capacities is None or block.capacities.per == "image":
            count = capacity_count(share, tiles)
        else:
            count = math.ceil(share * tiles)
        inner = min(height * width, count * size**2)
        outer = min(height * width, count * (size + 2) ** 2)
        numbers = (tf.constant(number, tf.int64) for number in (outer, inner))
        flops += policy.flops_at(index, unit, *numbers) - unit.flops(positions, positions)
    return int(flops)
