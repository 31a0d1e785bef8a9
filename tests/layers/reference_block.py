"""Algorithms 1 and 2 of the paper, literally: one position at a time, every state kept."""

import numpy as np
import tensorflow as tf


def run_reference(block, inputs, training=False):
    """What an `AdaptiveBlock` must give for a batch without padding.

    Units are called whole (shortcut included) and halting scores as layers; everything that the
    block itself does is done again here with loops over positions. Differentiable: what is decided
    is a constant, what is weighted is a tensor.

    Returns:
        `(output, halting)` as the block does.
    """
    kind, length = block.halting, len(block.units)
    in_shapes = []
    state = inputs
    for unit in block.units[: block.entry_units]:
        in_shapes.append(state.shape)
        state = unit(state, training=training)
    shape = tuple(state.shape[:3]) if kind == "sact" else (state.shape[0], 1, 1)
    finished = np.zeros(shape, bool)
    cumulative = np.zeros(shape)
    num_units = np.zeros(shape, np.int32)
    remainder = tf.ones(shape, state.dtype)
    ponder_cost = tf.zeros(shape, state.dtype)
    output = tf.zeros_like(state)
    distribution, flops = [], np.zeros(shape[0], np.int64)
    for index, unit in enumerate(block.units):
        entering = ~finished
        if index >= block.entry_units:
            new_state = unit(state, training=training)
            if kind == "sact":
                new_state = tf.where(entering[..., None], new_state, state)
            state = new_state
        last = index == length - 1
        score = tf.ones(shape, state.dtype)
        if not last:
            score = tf.zeros_like(score)
            if kind is not None and index >= block.entry_units - 1:
                score = block.halting_scores[index - block.entry_units + 1](
                    state, training=training
                )
                score = mean_of_tiles(score, block.tile_size)
        known = score.numpy()
        goes_on, halts = np.zeros(shape, bool), np.zeros(shape, bool)
        for position in np.ndindex(shape):
            if finished[position]:
                continue
            num_units[position] += 1
            cumulative[position] += known[position]
            if cumulative[position] < 1 - block.halting_epsilon and not last:
                goes_on[position] = True
            else:
                halts[position] = True
        if not last and index >= block.entry_units - 1 and block.capacities is not None:
            share = block.capacities.shares[index - block.entry_units + 1]
            left = (remainder - score).numpy()
            for position in beyond_capacity(goes_on, left, share, block):
                goes_on[position], halts[position] = False, True
        finished |= halts
        weight = tf.where(halts, remainder, tf.where(goes_on, score, tf.zeros_like(score)))
        ponder_cost += tf.where(halts, remainder, tf.zeros_like(remainder))
        ponder_cost += tf.cast(entering, state.dtype)
        remainder -= tf.where(goes_on, score, tf.zeros_like(score))
        distribution.append(weight)
        output += weight[..., None] * state
        flops += unit_flops(block, index, entering, in_shapes, state.shape)
    halting = {
        "ponder_cost": ponder_cost,
        "num_units": num_units,
        "halting_distribution": tf.stack(distribution, axis=-1),
        "flops": flops,
        "ponder_cost_mean": tf.reduce_mean(ponder_cost),
    }
    return output, halting


def beyond_capacity(goes_on, left, share, block):
    """Positions of the tiles with the least left, beyond the capacity, as a list."""
    size = block.tile_size
    images = range(goes_on.shape[0])
    groups = [[image] for image in images] if block.capacities.per == "image" else [images]
    cut = []
    for group in groups:
        tiles = {}
        for image in group:
            for y, x in np.ndindex(goes_on.shape[1:]):
                tiles.setdefault((image, y // size, x // size), []).append((image, y, x))
        number = max(1, int(np.floor(share * len(tiles) + 0.5)))
        active = [tile for tile in tiles if any(goes_on[place] for place in tiles[tile])]
        rank = {t: max(left[place] for place in tiles[t] if goes_on[place]) for t in active}
        active.sort(key=lambda tile: (-np.round(rank[tile] * 2**14), tile))
        cut += [p for tile in active[number:] for p in tiles[tile] if goes_on[p]]
    return cut


def mean_of_tiles(scores, size):
    """Slices, means, concatenations; the last tiles are smaller where the map does not divide."""
    if size == 1:
        return scores
    _, height, width = scores.shape
    rows = []
    for top in range(0, height, size):
        row = []
        for left in range(0, width, size):
            tile = scores[:, top : top + size, left : left + size]
            row.append(tf.ones_like(tile) * tf.reduce_mean(tile, axis=[1, 2], keepdims=True))
        rows.append(tf.concat(row, axis=2))
    return tf.concat(rows, axis=1)


def unit_flops(block, index, entering, in_shapes, out_shape):
    """Operations of a unit and its halting score for each image, counted position by position."""
    batch, height, width, channels = out_shape
    entry = block.entry_units
    counts = []
    for image in range(batch):
        if block.halting == "sact" and index >= entry:
            inner = int(entering[image].sum())
            outer = len(
                {
                    (y + dy, x + dx)
                    for y, x in zip(*np.nonzero(entering[image]), strict=True)
                    for dy in (-1, 0, 1)
                    for dx in (-1, 0, 1)
                    if 0 <= y + dy < height and 0 <= x + dx < width
                }
            )
        else:
            outer = inner = height * width
            if index < entry:
                _, rows, columns, _ = in_shapes[index]
                stride = block.units[index].stride
                outer = inner = -(-rows // stride) * -(-columns // stride)
                if block.units[index].outer_stride == 1:
                    outer = rows * columns
        flops = int(block.units[index].flops(outer, inner))
        if block.halting is not None and entry - 1 <= index < len(block.units) - 1:
            flops += 2 * channels  # the global branch, at one position
            if block.halting == "sact":
                flops += 2 * 9 * channels * inner
        if block.halting == "act" and not entering[image].item():
            flops = 0
        counts.append(flops)
    return np.array(counts, np.int64)
