"""What is measured of a model, and what becomes of it."""

import itertools

import keras
import numpy as np
import pytest

import sact_tf
from sact_tf.detection import FasterRCNN
from sact_tf.errors import UserError
from sact_tf.tuning import measuring
from tests.models.networks import images, make_backbone, make_classifier


@pytest.fixture
def clock(monkeypatch):
    """Each form takes prescribed milliseconds, by the share that is active; all run once."""
    lines = {"dense": (10, 0), "rows": (2, 12), "windows": (11, 0)}
    shares = itertools.cycle(measuring.SHARES)

    def interleaved(functions, turns, seconds):
        share = next(shares)
        results = {name: function() for name, function in functions.items()}
        for result in results.values():
            np.testing.assert_allclose(result, results["dense"], rtol=1e-4, atol=1e-4)
        return {name: [lines[name][0] + share * lines[name][1]] * 3 for name in functions}

    monkeypatch.setattr(measuring, "interleaved", interleaved)


def test_costs_are_measured_and_kept(tmp_path):
    """By the real clock: a line for each block with a choice, in the file, and the same answers."""
    model = make_classifier("cifar")
    sact_tf.set_execution(model, "auto")
    batch = images(2, 24, 24)
    expected = model.predict(batch, verbose=0)
    costs = sact_tf.tuning.tune(model, batch, seconds=0.1)
    assert [set(of_block) for of_block in costs] == [{"rows", "windows", "window"}] * 2
    assert costs == [block.own_costs for block in model.backbone.blocks]
    for of_block in costs:
        assert of_block["rows"] or of_block["windows"]
    np.testing.assert_allclose(model.predict(batch, verbose=0), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [block.own_costs for block in loaded.backbone.blocks] == costs
    assert [block.costs for block in loaded.backbone.blocks] == [
        block.costs for block in model.backbone.blocks
    ]


def test_lines_through_what_was_measured(clock):
    backbone = make_backbone(units=(1, 3))
    costs = measuring.tune(backbone, images(2, 80, 160))
    assert costs[0] is None, "one unit has no choice"
    # Shares are of 2 x 10 x 20 positions, in whole ones.
    assert costs[1]["rows"] == pytest.approx([0.2, 1.2], abs=0.01)
    assert costs[1]["windows"] is None, "windows were never the cheapest"
    sact_tf.set_costs(backbone, None)
    assert [block.own_costs for block in backbone.blocks] == [None, None]


def test_costs_that_a_block_refuses_change_no_block():
    backbone = make_backbone(units=(3, 3))
    sact_tf.set_costs(backbone, [{"rows": (0.1, 0.2)}, None])
    before = [block.own_costs for block in backbone.blocks]
    with pytest.raises(ValueError, match="Expected costs to be pairs"):
        sact_tf.set_costs(backbone, [{"rows": (0.3, 0.4)}, {"rows": (-1, 0)}])
    assert [block.own_costs for block in backbone.blocks] == before


def test_a_detector_is_tuned_as_far_as_it_decides(clock):
    detector = FasterRCNN(make_backbone(), num_classes=3, feature_block="block1")
    first, second = measuring.tune(detector, images(1, 64, 64))
    assert first is not None and second is None


def test_what_is_kept_of_the_forms():
    rows, windows = [(0.1, 0.3), (0.5, 0.7)], [(0.2, 0.4), (0.6, 0.6)]
    both = measuring.fitted({"rows": rows, "windows": windows})
    assert both.rows == (0.2, 1.0) and both.windows == (0.3, 0.5)
    assert measuring.fitted({"rows": rows, "windows": [(0.2, 0.2), (0.6, 0.6)]}).rows is None
    dear = [(0.1, 1.5), (0.5, 1.7)]
    assert measuring.fitted({"rows": dear, "windows": dear}).windows is None
    assert measuring.fitted({"rows": [(0.98, 1.2), (1.0, 0.8)]}).rows == (1.0, 0.0)
    assert measuring.fitted({"rows": [(0.1, 0.05), (0.5, 0.9)]}).rows[0] == 0.0


@pytest.mark.parametrize("tile_size", [1, 3])
def test_the_positions_that_cost_most_stay_active(tile_size):
    tiles = np.random.default_rng(0).uniform(size=[2, 3, 4])
    cost = np.repeat(np.repeat(tiles, tile_size, 1), tile_size, 2)[:, : 3 * tile_size - 1]
    if tile_size == 1:
        cost = tiles
    active = measuring.most_costly(cost, 0.25, tile_size)
    assert active.shape == cost.shape
    np.testing.assert_array_equal(active, cost >= np.sort(tiles.ravel())[-6])
    assert measuring.most_costly(np.ones([1, 4, 4]), 0.5, 1).mean() == 0.5


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (lambda: make_classifier(halting="act"), (2, 32, 32, 3), "halting='sact'.*'act'"),
        (lambda: keras.Sequential(), (2, 32, 32, 3), "received a Sequential"),
        (make_classifier, (32, 32, 3), r"\[B, H, W, C\].*\(32, 32, 3\)"),
    ],
)
def test_mistakes(model, shape, message):
    with pytest.raises(UserError, match=message):
        measuring.tune(model(), np.zeros(shape, "float32"))
