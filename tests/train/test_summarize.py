"""The metrics of runs as one table, by the program and its parts."""

import json

import pytest

from sact_tf.errors import UserError
from sact_tf.training.reports.metrics_table import cells, read_rows, summarize, table
from sact_tf.training.reports.tables import render
from tests.training import running


@pytest.fixture
def runs(tmp_path):
    contents = {
        "a": {"accuracy": 0.91234, "num_units": {"block1": 2.0, "block2": 1.256}, "steps": 10,
              "halting": "sact", "versions": {"keras": "3"}, "done": True},
        "b": {"accuracy": 0.5, "AUC": 0.75, "train": {"speed": 3.5}},
        "c": {"evaluations": [{"image_size": 48, "accuracy": 0.25},
                              {"image_size": 64, "accuracy": 0.125, "name": "sact at 64"}]},
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(content))
    return tmp_path


def test_program_prints_one_table_of_all_runs(runs):
    paths = [runs / "a", runs / "b" / "metrics.json", runs / "c"]
    result = running.run("summarize", *paths)
    assert result.returncode == 0, result.stderr
    header, *lines = [line.split() for line in result.stdout.splitlines()]
    assert header == ["run", "image_size", "accuracy", "num_units", "steps", "AUC", "train"]
    assert lines[0] == [str(runs / "a"), "0.9123", "2", "1.256", "10"]
    assert lines[1] == [str(paths[1]), "0.5", "0.75", "3.5"]
    assert lines[2] == [str(runs / "c"), "48", "0.25"]
    assert lines[3] == [f"{runs / 'c'}:", "sact", "at", "64", "64", "0.125"]


def test_chosen_columns_and_forms(runs):
    rows = [row for name in ("a", "b") for row in read_rows(str(runs / name))]
    lines = table(rows, ["train.speed", "accuracy"])
    assert lines == [
        ["run", "train.speed", "accuracy"],
        [str(runs / "a"), "", "0.9123"],
        [str(runs / "b"), "3.5", "0.5"],
    ]
    assert render(lines, "csv").splitlines()[1] == f"{runs / 'a'},,0.9123"
    markdown = render(lines, "markdown").splitlines()
    assert set(markdown[1]) == {"|", "-"} and len({len(line) for line in markdown}) == 1
    assert cells({"big": 1.5602814976e10, "flag": True, "name": "x"}) == {"big": "1.5603e+10"}


def test_mistakes_are_named(runs):
    (runs / "broken").mkdir()
    (runs / "broken" / "metrics.json").write_text("{")
    for path, message in [("none", "no such file"), ("broken", "not a readable metrics.json")]:
        with pytest.raises(UserError, match=f"{path}.*{message}"):
            list(read_rows(str(runs / path)))
    with pytest.raises(UserError, match="no run has 'accuracies'"):
        table(list(read_rows(str(runs / "a"))), ["accuracies"])
    with pytest.raises(UserError, match="expected run directories"):
        summarize([])
