"""How the use of units is said."""

from sact_tf.training.loop.unit_usage import dead_units, usage_lines, usage_scalars

_USAGE = {"block1": [1.0, 0.25, 0.0], "block2": [1.0, 1e-6]}


def test_dead_units_are_those_that_nobody_reached():
    assert dead_units(_USAGE) == ["block1/unit_3"]
    assert dead_units({"block1": [1.0]}) == []


def test_lines_and_scalars_say_every_share():
    assert usage_lines(_USAGE)[0] == "  block1: units reached by 100.0%, 25.0%, 0.0%"
    assert usage_scalars(_USAGE) == {
        "unit_usage/block1/unit_1": 1.0,
        "unit_usage/block1/unit_2": 0.25,
        "unit_usage/block1/unit_3": 0.0,
        "unit_usage/block2/unit_1": 1.0,
        "unit_usage/block2/unit_2": 1e-6,
    }
