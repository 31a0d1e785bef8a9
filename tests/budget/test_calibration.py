import os
import subprocess
import sys

import numpy as np
import pytest

import sact_tf
from sact_tf.budget import FlopsShare, calibrate, find_shift, reachable_range
from tests.harness import ROOT


def _cheaper(model, images):
    """A budget below what the model spends now."""
    lowest, _ = reachable_range(model, 16, 16)
    return (lowest + FlopsShare(model)(images)) / 2


@pytest.mark.parametrize(("direction", "tile_size"), [("cheaper", 1), ("dearer", 2)])
def test_sact_meets_the_budget_and_is_not_changed_itself(
    make_classifier, images, direction, tile_size
):
    model = make_classifier(tile_size=tile_size, halting_bias=2.0)
    _, highest = reachable_range(model, 16, 16)
    before, spent = model.get_weights(), FlopsShare(model)(images)
    target = _cheaper(model, images) if direction == "cheaper" else (highest + spent) / 2
    assert abs(target - spent) > 0.03
    copy = calibrate(model, [(images[:10], None), (images[10:], None)], target)
    assert FlopsShare(copy)(images) == pytest.approx(target, abs=0.02)
    np.testing.assert_equal(model.get_weights(), before)
    assert FlopsShare(model)(images) == spent


def test_only_the_halting_biases_differ_and_all_by_one_number(make_classifier, images):
    model = make_classifier()
    target = _cheaper(model, images)
    shift = find_shift(model, images, target).shift
    copy = calibrate(model, images, target)
    assert shift > 0
    moved = 0
    for ours, theirs in zip(copy.weights, model.weights, strict=True):
        halting_bias = "halting_score" in ours.path and "local_conv/bias" in ours.path
        moved += halting_bias
        expected = theirs.numpy() + (shift if halting_bias else 0)
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-6)
    assert moved == 2 + 1


def test_the_saved_file_carries_the_budget(make_classifier, images, tmp_path):
    model = make_classifier()
    sact_tf.set_ponder_weight(model, 0.25)
    target = _cheaper(model, images)
    copy = calibrate(model, images, target)
    assert copy.get_config()["backbone"] == model.get_config()["backbone"]
    copy.save(tmp_path / "m.keras")
    np.save(tmp_path / "images.npy", images.numpy())
    script = (
        "import keras, numpy, sact_tf; m = keras.models.load_model('m.keras');"
        "print(sact_tf.budget.FlopsShare(m)(numpy.load('images.npy')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(result.stdout.splitlines()[-1]) == FlopsShare(copy)(images)


def test_act_comes_as_near_as_its_steps_allow(make_classifier, images, caplog):
    model = make_classifier("act")
    one = images[:1]
    # A single image has few shares to choose from; between two of them is out of its reach.
    shares = {find_shift(model, one, r).flops_ratio for r in (0.45, 0.7, 0.95)}
    assert len(shares) > 1
    low, high = sorted(shares)[:2]
    target = low + 0.4 * (high - low)
    found = find_shift(model, one, target)
    assert found.flops_ratio == low
    assert high - low > 0.06
    calibrate(model, one, target)
    assert f"{target:.3f}" in caplog.text and f"{low:.3f}" in caplog.text


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_logits_of_any_size(make_classifier, images, halting):
    """What is in reach is a matter of the network, not of its weights, and is found."""
    model = make_classifier(halting)
    expected = reachable_range(model, 16, 16)
    for block in model.backbone.blocks:
        for score in block.halting_scores:
            convolution = score.local_conv if halting == "sact" else score.global_conv
            convolution.kernel.assign(convolution.kernel * 1e9)
    assert reachable_range(model, 16, 16) == expected
    low, high = expected
    if halting == "sact":
        for target in (low + 0.2 * (high - low), low + 0.8 * (high - low)):
            assert find_shift(model, images, target).flops_ratio == pytest.approx(target, abs=0.02)


def test_no_search_where_the_budget_is_met_already(make_classifier, images):
    model = make_classifier()
    found = find_shift(model, images, FlopsShare(model)(images))
    assert (found.shift, found.evaluations) == (0.0, 1)


def test_out_of_reach_says_what_is_in_reach(make_classifier, images):
    model = make_classifier()
    lowest, highest = reachable_range(model, 16, 16)
    for target in (0.1, 1.5):
        with pytest.raises(ValueError, match=f"between {lowest:.3f} .* and {highest:.3f}"):
            calibrate(model, images, target)
    with pytest.raises(ValueError, match="flops_ratio to be a float"):
        calibrate(model, images, "0.5")
    with pytest.raises(ValueError, match="no halting scores"):
        calibrate(make_classifier(None), images, 0.5)


def test_batches_of_different_sizes(make_classifier, images):
    model = make_classifier()
    batches = [images[:8], images[8:16, :12, :8], images[16:, :8]]
    target = _cheaper(model, images)
    assert FlopsShare(calibrate(model, batches, target))(batches) == pytest.approx(target, abs=0.02)
