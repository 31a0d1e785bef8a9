"""The metrics of runs as one table, by the program and its parts."""

import json

import pytest
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.training.reports.metrics_table import cells, read_rows, summarize, table
from sact_tf.training.reports.tables import render
from sact_tf.training.reports.timed_networks import timed_networks
from sact_tf.visualization.charts import TimedNetwork
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
    assert header == ["run", "image_size", "accuracy", "num_units", "steps"]
    assert lines[0] == [str(runs / "a"), "0.9123", "2", "1.256", "10"]
    assert lines[1] == [str(paths[1]), "0.5"]
    assert lines[2] == [str(runs / "c"), "48", "0.25"]
    assert lines[3] == [f"{runs / 'c'}:", "sact", "at", "64", "64", "0.125"]


def test_all_columns_where_asked_for_or_nothing_else_is_there(runs):
    (runs / "maps").mkdir()
    (runs / "maps" / "metrics.json").write_text('{"AUC": 0.75, "num_images": 3}')
    header = ["run", "accuracy", "num_units", "steps", "AUC", "train", "num_images"]
    rows = [row for name in ("a", "b", "maps") for row in read_rows(str(runs / name))]
    assert table(rows, None)[0] == header
    assert table(rows[:2], ["all"])[0] == header[:-1]
    assert table(rows[:2], None)[0] == header[:4]


def timed(milliseconds, batch_size=16, **scores):
    times = {"milliseconds_per_image": milliseconds, "execution": "tiled", "time_ratio": 0.5}
    return {**scores, "timing": {
        "one_image": {**times, "batch_size": 1, "milliseconds_per_image": 99.0},
        "batch": {**times, "batch_size": batch_size},
    }}  # fmt: skip


def write(folder, **content):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(content))


def write_timed(folder, halting, milliseconds, batch_size=16, **scores):
    write(folder, halting=halting, **timed(milliseconds, batch_size, **scores))


def test_figure_has_each_timed_run_over_its_time_in_batches(runs):
    write_timed(runs / "wide" / "plain", None, 40.0, accuracy=0.9, num_examples=900)
    write_timed(runs / "wide" / "sact", "sact", 25.0, accuracy=0.8, num_examples=400)
    paths = [runs / "wide" / "plain", runs / "wide" / "sact", runs / "a"]
    networks, score, images = timed_networks([r for path in paths for r in read_rows(str(path))])
    assert (score, images) == ("accuracy", "16 at once")
    assert networks == [
        TimedNetwork("plain", None, 40.0, 0.9, pytest.approx(0.01)),
        TimedNetwork("sact", "sact", 25.0, 0.8, pytest.approx(0.02)),
    ]
    result = running.run("summarize", *paths, f"--figure={runs / 'new' / 'times.png'}")
    assert result.returncode == 0, result.stderr
    assert "timing.batch.milliseconds_per_image" in result.stdout.splitlines()[0]
    drawn = f"figure: {runs / 'new' / 'times.png'}, 2 of 3 networks, those with times"
    assert result.stderr.splitlines()[-1] == drawn
    with Image.open(runs / "new" / "times.png") as picture:
        assert picture.width > 800


def test_figure_of_evaluations(runs):
    """Of `train.evaluate`, which names the network once, and of a trade-off, which names each."""
    write(runs / "sizes", halting="sact", evaluations=[{"image_size": 64, **timed(5.0, mAP=0.5)}])
    several = [("sact", "sact at 64"), (None, "plain at 64")]
    evaluations = [{"halting": h, "name": name, **timed(6.0, mAP=0.25)} for h, name in several]
    write(runs / "tradeoff", evaluations=evaluations)
    rows = [row for name in ("sizes", "tradeoff") for row in read_rows(str(runs / name))]
    assert [(network.halting, network.name) for network in timed_networks(rows)[0]] == [
        ("sact", "sizes"), ("sact", "tradeoff: sact at 64"), (None, "tradeoff: plain at 64"),
    ]  # fmt: skip


def test_a_figure_of_different_things_is_refused(runs):
    write_timed(runs / "sixteen", "act", 1.0, accuracy=0.5)
    write_timed(runs / "eight", "act", 1.0, batch_size=8, accuracy=0.5)
    write_timed(runs / "detector", "sact", 1.0, mAP=0.5)
    for names, message in [
        (["a"], "no run has times"),
        (["sixteen", "eight"], "received 16 at once and 8 at once"),
        (["sixteen", "detector"], "received accuracy and mAP"),
    ]:
        with pytest.raises(UserError, match=message):
            summarize([str(runs / name) for name in names], figure=runs / "times.png")
    with pytest.raises(UserError, match="--figure: .* is a directory"):
        summarize([str(runs / "sixteen")], figure=runs)
    assert not (runs / "times.png").exists()


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
