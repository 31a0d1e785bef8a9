"""What the units of a model cost in each form, on the machine that this runs on.

B batch, H W a block's map, T tiles that halt as one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.layers import AdaptiveBlock
from sact_tf.layers.costs import Costs, Line, has_windows
from sact_tf.layers.execution import Entry, execute
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.models import ResNetBackbone
from sact_tf.models.settings import drop_compiled
from sact_tf.ops.tiles import spread_tiles
from sact_tf.ops.windows import tiles_with_any, window_grid
from sact_tf.timing import interleaved, ratios
from sact_tf.tuning.scripted_score import scripted_scores

# Of the positions that are active, and how many units of a block are timed: the later ones are
# equal.
SHARES = (0.1, 0.3, 0.6)
_MOST_UNITS = 4
_TURNS = 15
_DENSE = "dense"
# An execution and costs with which it has no choice.
_FORMS = {
    _DENSE: ("auto", Costs(rows=(2.0, 0.0))),
    "rows": ("tiled", Costs(rows=(0.0, 1.0))),
    "windows": ("tiled", Costs(windows=(0.0, 1.0))),
}


def tune(
    model: keras.Model, images: tf.Tensor | np.ndarray, seconds: float = 20.0
) -> list[dict[str, Any] | None]:
    """Measures by which costs "tiled" and "auto" shall choose here, and keeps them in the model.

    Each block is timed by itself, on rows, in windows and densely, while a tenth to six tenths of
    its positions are active: those for which the model has the highest ponder cost. The costs are
    part of the model's configuration, so whatever is saved or exported from it has them. Outputs
    stay what they were, up to rounding. A `tf.function` of your own must be traced anew.

        sact_tf.tuning.tune(model, images)
        sact_tf.set_execution(model, "auto")
        model.save("model.keras")

    Args:
        model: an `ImageClassifier`, a `FasterRCNN` or a `ResNetBackbone` with SACT. Of one inside
            another model give the backbone.
        images: [B, H, W, C], preprocessed, of the size and as many at once as the model will get.
        seconds: how long to take times, in all; compiling comes on top, about as long.

    Returns:
        For each block of the backbone its costs (see `AdaptiveBlock`), as a JSON-able dict; None
        for a block without halting scores, or that the model does not run.

    Raises:
        UserError: the model has no SACT, or the images do not fit.
    """
    backbone = _backbone_of(model)
    images = tf.cast(tf.convert_to_tensor(images), backbone.compute_dtype)
    if len(images.shape) != 4 or 0 in images.shape:
        raise UserError(f"Expected images [B, H, W, C], received the shape {images.shape}")
    blocks = backbone.blocks_up_to(model.block_names[-1])
    state = backbone.stem(images)
    for block in blocks:
        inputs = state
        state, halting = block(inputs, training=False)
        if block.halting_scores:
            entering = inputs
            for unit in block.units[: block.entry_units]:
                entering = unit(entering, training=False)
            ponder_cost = halting["ponder_cost"].numpy()
            block.costs = _measured(block, entering, ponder_cost, seconds / len(blocks))
    drop_compiled(model)
    return [block.own_costs for block in backbone.blocks]


def _backbone_of(model):
    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, ResNetBackbone) or backbone.halting_kind != "sact":
        raise UserError(
            "Expected an ImageClassifier, a FasterRCNN or a ResNetBackbone with halting='sact', "
            f"received a {type(model).__name__}"
            + (f" with halting={model.halting_kind!r}" if hasattr(model, "halting_kind") else "")
        )
    return backbone


def _measured(block: AdaptiveBlock, entering, ponder_cost, seconds) -> Costs:
    """The costs of a block's units for the states [B, H, W, C] that enter the second one."""
    num_units = tf.Variable(tf.zeros(ponder_cost.shape, tf.int32))
    length = min(len(block.halting_scores) + 1, _MOST_UNITS)
    functions = {
        name: _compiled(block, length, entering, num_units, *form)
        for name, form in _FORMS.items()
        if name != "windows" or has_windows(block.units[-1])
    }
    grid = window_grid(entering, Costs().window, 1, block.tile_size)
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for share in SHARES:
        active = most_costly(ponder_cost, share, block.tile_size)
        num_units.assign(np.where(active, length, 1))
        times = interleaved(functions, _TURNS, seconds=seconds / len(SHARES))
        tiles = tiles_with_any(tf.constant(active), grid).numpy()
        shares = {"rows": active.mean(), "windows": tiles.mean(), _DENSE: 1.0}
        for name, of_form in points.items():
            cost = ratios(times[name], times[_DENSE])["time_ratio"]
            of_form.append((float(shares[name]), cost))
    del points[_DENSE]
    return fitted(points)


def _compiled(block, length, entering, num_units, execution, costs):
    """The first units of a block that may halt, and the halting scores, as one graph."""
    units = block.units[block.entry_units - 1 :][:length]
    policy = HaltingPolicy(
        "sact",
        length,
        scripted_scores(block, num_units, length),
        epsilon=block.halting_epsilon,
        tile_size=block.tile_size,
    )
    entry = Entry(entering, None, None, training=False)

    @tf.function(autograph=False)
    def run():
        return execute(units, policy, entry, execution, costs=costs).output

    compiled = run.get_concrete_function()
    return lambda: compiled().numpy()


def most_costly(ponder_cost: np.ndarray, share: float, tile_size: int) -> np.ndarray:
    """The tiles of a batch on which most is spent, the first ones of equals.

    Args:
        ponder_cost: [B, H, W], the same within a tile.
        share: of the tiles.
        tile_size: k.

    Returns:
        bool [B, H, W].
    """
    tiles = ponder_cost[:, ::tile_size, ::tile_size]
    order = np.argsort(-tiles, axis=None, kind="stable")
    chosen = np.zeros(tiles.size, bool)
    chosen[order[: round(share * tiles.size)]] = True
    return spread_tiles(chosen.reshape(tiles.shape), tile_size, *ponder_cost.shape[1:]).numpy()


def fitted(points: Mapping[str, Sequence[tuple[float, float]]]) -> Costs:
    """The costs that measured ones suggest.

    Args:
        points: by "rows" and "windows" pairs of a share and the cost at it, for the same images.

    Returns:
        `Costs` of lines through them; without windows, or without rows, where at none of the points
        they cost less than the other form and less than a dense unit.
    """
    names = list(points)
    costs = np.array([[cost for _, cost in points[name]] for name in names])
    best = {names[int(at.argmin())] for at in costs.T if at.min() < 1} or {"rows"}
    lines = {name: _line(points[name]) for name in names if name in best}
    return Costs(rows=lines.get("rows"), windows=lines.get("windows"))


def _line(points) -> Line:
    shares, costs = zip(*points, strict=True)
    fixed, each = float(np.mean(costs)), 0.0
    if np.ptp(shares) > 0.1:  # else the noise would decide how steep it is
        each, fixed = map(float, np.polyfit(shares, costs, 1))
    return round(max(fixed, 0.0), 3), round(max(each, 0.0), 3)
