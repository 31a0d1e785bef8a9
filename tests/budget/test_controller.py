import numpy as np
import pytest
import tensorflow as tf

from sact_tf.budget import BudgetController
from sact_tf.budget.halting_shift import halting_biases


def _plant(bias):
    """Share of FLOPs of a made-up network: near 1 until the scores have grown, then a fall."""
    return 0.31 + 0.7 / (1 + np.exp(2.5 * (bias + 1.0)))


@pytest.mark.parametrize("budget", [0.5, 0.65, 0.8])
def test_it_settles_at_the_budget_against_a_drift(budget):
    """Training pulls the logits back all the time, the harder the smaller tau is."""
    controller = BudgetController(budget, ponder_weight=0.005, horizon=40)
    rng = np.random.default_rng(0)
    bias, shares = -3.0, []
    for _ in range(800):
        shares.append(_plant(bias))
        action = controller.update(shares[-1] + rng.normal() * 0.01)
        bias += float(action.halting_shift)
        bias -= 0.004 * (1 - float(action.ponder_weight) / 0.05)
    assert abs(np.mean(shares[-200:]) - budget) < 0.01
    assert np.ptp(shares[-200:]) < 0.06
    assert min(shares) > budget - 0.05


def test_one_step_by_hand():
    controller = BudgetController(
        0.5, ponder_weight=0.01, horizon=10, dual_gain=2.0, bias_gain=0.1, damping=0.2
    )
    first = controller.update(1.0)
    # The set point has moved by 1/60 of the way to 0.5.
    error = 0.5 / 60
    assert float(controller.set_point) == pytest.approx(1 - error)
    assert float(first.ponder_weight) == pytest.approx(0.01 * np.exp(0.2 * error))
    assert float(first.halting_shift) == pytest.approx(0.1 * error + 0.2 * error)
    second = controller.update(0.9)
    error_2 = 1.0 + 0.3 * (0.9 - 1.0) - (1 - 1 / 60)
    assert float(second.ponder_weight) == pytest.approx(0.01 * np.exp(0.2 * (error + error_2)))
    expected = 0.1 * error_2 + 0.2 * (error_2 - error)
    assert float(second.halting_shift) == pytest.approx(expected, rel=1e-4)


def test_shift_and_tau_are_bounded():
    controller = BudgetController(0.5, horizon=1, dual_gain=100.0)
    for _ in range(30):
        action = controller.update(1.0)
    assert float(action.halting_shift) == pytest.approx(0.1)
    assert float(action.ponder_weight) == pytest.approx(1.0)
    for _ in range(60):
        action = controller.update(0.3)
    assert float(action.halting_shift) == pytest.approx(-0.1)
    assert float(action.ponder_weight) == pytest.approx(1e-5)


def test_a_restored_controller_goes_on_as_if_it_had_not_stopped(tmp_path):
    def run(controller, shares):
        return [[float(value) for value in controller.update(share)] for share in shares]

    shares = np.linspace(1.0, 0.6, 10)
    unbroken = run(BudgetController(0.6, horizon=3), shares)
    controller = BudgetController(0.6, horizon=3)
    run(controller, shares[:4])
    path = tf.train.Checkpoint(controller=controller).save(str(tmp_path / "c"))
    restored = BudgetController(0.6, horizon=3)
    tf.train.Checkpoint(controller=restored).restore(path).assert_consumed()
    assert run(restored, shares[4:]) == unbroken[4:]


def test_apply_sets_tau_and_moves_every_halting_bias_also_in_a_graph(make_classifier):
    model = make_classifier()
    controller = BudgetController(0.5, ponder_weight=0.02)
    before = [bias.numpy() for bias in halting_biases(model)]
    action = tf.function(lambda share: controller.apply(model, share))(tf.constant(1.0))
    assert float(action.halting_shift) != 0
    for block in model.backbone.blocks:
        assert float(block.ponder_weight) == float(action.ponder_weight) != 0.02
    for bias, old in zip(halting_biases(model), before, strict=True):
        np.testing.assert_allclose(bias.numpy(), old + float(action.halting_shift), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flops_ratio", 0.0),
        ("flops_ratio", float("nan")),
        ("ponder_weight", -0.1),
        ("horizon", 0.5),
        ("dual_gain", -1.0),
        ("bias_gain", float("inf")),
        ("damping", -1.0),
    ],
)
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"Expected {name} to be .*received {value!r}"):
        BudgetController(**{"flops_ratio": 0.5, name: value})
