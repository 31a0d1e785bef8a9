"""One table in its three forms."""

import pytest

from sact_tf.training.reports.tables import render

LINES = [["run", "accuracy"], ["a", "0.50"], ["a longer name", ""]]


def test_text_is_aligned_and_keeps_digits_as_they_are():
    assert render(LINES, "text").splitlines() == [
        "run            accuracy",
        "a                  0.50",
        "a longer name",
    ]


def test_markdown():
    assert render(LINES, "markdown").splitlines() == [
        "| run           | accuracy   |",
        "|---------------|------------|",
        "| a             | 0.50       |",
        "| a longer name |            |",
    ]


def test_csv_keeps_all_digits_of_numbers():
    lines = [["run", "share"], ["a, b", 1 / 3], ["c", ""]]
    assert render(lines, "csv") == 'run,share\n"a, b",0.3333333333333333\nc,'


def test_other_forms_are_refused():
    with pytest.raises(ValueError, match="form.*received 'html'"):
        render(LINES, "html")
