"""Timing in turns, of functions whose time is known."""

import time

import pytest

from sact_tf.timing import interleaved, machine, ratios


def test_functions_take_turns_and_the_warm_up_does_not_count():
    calls = []
    times = interleaved(
        {name: lambda name=name: calls.append(name) for name in "ab"}, turns=3, warm_up=2
    )
    assert calls == ["a", "b"] * 5
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_times_are_milliseconds():
    times = interleaved({"sleep": lambda: time.sleep(0.02)}, turns=2, warm_up=0)
    assert min(times["sleep"]) >= 20


@pytest.mark.parametrize("seconds, turns", [(0, 3), (None, 9), (1000, 9)])
def test_a_limit_of_time_ends_the_turns_after_the_first_three(seconds, turns):
    times = interleaved({"sleep": lambda: time.sleep(0.001)}, turns=9, seconds=seconds)
    assert len(times["sleep"]) == turns


def test_ratios_are_of_each_turn():
    found = ratios([2, 2, 9, 8, 5], [1, 2, 3, 2, 5])  # 2, 1, 3, 4, 1
    assert found == {
        "time_ratio": 2,
        "time_ratio_min": 1,
        "time_ratio_max": 3,
        "time_ratio_of_fastest": 2,
        "milliseconds": 5,
        "milliseconds_min": 2,
    }
    assert ratios([3], [2])["time_ratio_min"] == ratios([3], [2])["time_ratio_max"] == 1.5


def test_the_machine_is_named():
    about = machine()
    assert about["processor"] and 1 <= about["threads"] <= about["cores"]
