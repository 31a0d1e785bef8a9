import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.budget import FlopsShare, cap
from sact_tf.errors import UserError
from sact_tf.ops.capacity import capacity_count


def entering(model, images, valid=None):
    """Positions that enter each later unit, by block: int [B, units]."""
    halting = model.forward(images, valid)["halting"]
    return {
        block.name: np.stack(
            [
                (halting[block.name]["num_units"].numpy() > unit).sum(axis=(1, 2))
                for unit in range(1, len(block.units))
            ],
            axis=1,
        )
        for block in model.backbone.blocks
    }


def test_a_quantile_of_the_models_own_decisions(make_classifier, images):
    model = make_classifier(halting_bias=1.0)
    free = entering(model, images)
    before = FlopsShare(model)(images)
    caps = cap(model, images, quantile=0.8)
    capped = entering(model, images)
    units, below = iter(caps.units), []
    for block, positions in zip(model.backbone.blocks, (256, 64), strict=True):
        for number, share in enumerate(block.capacities.shares):
            unit, counts = next(units), free[block.name][:, number]
            assert (unit.block, unit.unit, unit.capacity) == (block.name, number + 2, share)
            limit = capacity_count(share, positions)
            assert limit == np.quantile(counts, 0.8, method="higher")
            below.append(limit > np.quantile(counts, 0.8, method="lower"))
            assert unit.limited == np.mean(counts > limit) <= 0.2
            assert unit.cut == pytest.approx(np.maximum(counts - limit, 0).sum() / counts.sum())
            assert np.all(capped[block.name][:, number] <= limit)
    assert any(below), "the images cannot tell one kind of quantile from another"
    assert caps.flops_before == pytest.approx(before)
    assert caps.flops_after == pytest.approx(FlopsShare(model)(images))
    assert caps.flops_after < caps.flops_before
    for row, unit in zip(str(caps).splitlines()[1:-1], caps.units, strict=True):
        assert row.split()[:2] == [unit.block, str(unit.unit)]


@pytest.mark.parametrize("per", ["image", "batch"])
def test_the_highest_quantile_cuts_nothing(per, make_classifier, images):
    model = make_classifier(halting_bias=2.0)
    before = model.forward(images)
    caps = cap(model, [images[:8], images[8:16], images[16:]], quantile=1, per=per)
    assert caps.flops_after == caps.flops_before
    assert all(unit.limited == unit.cut == 0 for unit in caps.units)
    if per == "image":
        np.testing.assert_array_equal(model.forward(images)["logits"], before["logits"])


@pytest.mark.parametrize("execution", ["masked", "tiled"])
@pytest.mark.parametrize("tile_size", [1, 3])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_no_image_spends_more_than_the_bound(per, tile_size, execution, make_classifier, images):
    """Scores that never halt: the capacities are filled."""
    model = make_classifier(halting_bias=-50.0, tile_size=tile_size, execution=execution)
    caps = cap(model, images, capacities={"shares": 0.3, "per": per})
    assert caps.flops_after <= caps.flops_at_most < 0.9 < caps.flops_before
    shares = model.forward(images)["flops"].numpy() / model.plain_flops(16, 16)
    highest = shares.max() if per == "image" else shares.mean()
    assert caps.flops_at_most - 0.4 < highest <= caps.flops_at_most


def test_padded_images_and_a_detector_like_data_set(make_classifier, images):
    """Shares are of the padded map, by which the capacity counts."""
    model = make_classifier(halting_bias=2.0)
    valid = np.zeros([24, 16, 16], bool)
    valid[:, :8, :10] = True
    halves = (slice(12), slice(12, None))
    batches = [{"image": images[half], "valid": valid[half]} for half in halves]
    free = entering(model, images, tf.constant(valid))
    cap(model, batches, quantile=1)
    shares = model.backbone.blocks[0].capacities.shares
    np.testing.assert_allclose(shares, free["block1"].max(axis=0) / 256)


@pytest.mark.parametrize("options", [{"quantile": 0.9}, {"capacities": 0.5}])
def test_a_block_that_has_nothing_to_limit(options, make_classifier, images):
    model = make_classifier(halting_bias=1.0, units=(1, 3))
    caps = cap(model, images, **options)
    assert [(unit.block, unit.unit) for unit in caps.units] == [("block2", 2), ("block2", 3)]
    assert caps.flops_after <= caps.flops_at_most


def test_set_anew_and_taken_away(make_classifier, images):
    model = make_classifier(halting_bias=2.0)
    first = cap(model, images, capacities=[0.2, None])
    assert {unit.block for unit in first.units} == {"block1"}
    second = cap(model, images, capacities=0.5)
    assert second.flops_before == first.flops_before > second.flops_after
    sact_tf.set_capacities(model, None)
    assert FlopsShare(model)(images) == pytest.approx(first.flops_before)


def test_a_model_that_predicts_follows(make_classifier, images):
    model = make_classifier(halting_bias=2.0)
    before = model.predict(images, verbose=0)
    cap(model, images, capacities=0.1)
    assert np.any(model.predict(images, verbose=0) != before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantile": 0.5, "capacities": 0.5}, "or a quantile"),
        ({"capacities": 0.5, "per": "batch"}, "say themselves"),
        ({"quantile": 0}, r"quantile in \(0, 1\]"),
        ({"per": "pixel"}, "per='pixel'"),
    ],
)
def test_arguments_are_checked(options, message, make_classifier, images):
    with pytest.raises(UserError, match=message):
        cap(make_classifier(), images, **options)


def test_what_cannot_be_capped(make_classifier, images):
    with pytest.raises(UserError, match="halting='act'"):
        cap(make_classifier("act"), images)
    model = make_classifier()
    sact_tf.set_capacities(model, 0.5)
    with pytest.raises(UserError, match="at least one image"):
        cap(model, [])
    with pytest.raises(ValueError, match="shares in"):
        cap(model, images, capacities=2)
    assert model.backbone.blocks[0].capacities.shares == (0.5, 0.5)
    with pytest.raises(ValueError, match="shares in"):
        sact_tf.set_capacities(model, [0.1, 2])
    assert model.backbone.blocks[0].capacities.shares == (0.5, 0.5)
