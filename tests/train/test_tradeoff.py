"""The trade-off experiment: plan, runs and resumption, tables, figure."""

import csv
import pathlib
import signal
import time

import numpy as np
import pytest
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json
from sact_tf.training import errors
from sact_tf.training.config.loading import flat_items, load_config
from sact_tf.training.experiments.tradeoff import experiment
from sact_tf.training.experiments.tradeoff.config import (
    TradeoffConfig,
    planned_runs,
    run_config,
)
from sact_tf.training.experiments.tradeoff.experiment import run_experiment
from sact_tf.training.experiments.tradeoff.results import (
    METHOD_NAMES,
    csv_text,
    tradeoff_figure,
    units_table,
    write_results,
)
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.visualization import figures
from tests.training import running

_CONFIG = """
base:
  model: {network: cifar, units_per_block: 2, base_channels: 4}
  data:
    source: cluttered_digits
    cluttered_digits: {image_size: 16, digit_size: 8, num_distractors: 2, distractor_size: 4,
                       num_train: 40, num_validation: 20}
  train:
    batch_size: 8
    steps: 2
    learning_rate: {schedule: constant, initial: 0.05}
    seed: 3
    log_every: 1
    checkpoint_every: 1
    keep_checkpoints: 1
  evaluation: {batch_size: 20, pictures: 3, time: false}
adaptive: {steps: 1}
matched: {steps: 1, learning_rate: {schedule: constant, initial: 0.01}}
image_sizes: [16, 24]
calibration_images: 20
"""


def _config(tmp_path, *overrides):
    path = tmp_path / "tradeoff.yaml"
    path.write_text(_CONFIG)
    return load_config(TradeoffConfig, path, overrides)


def _modified(directory):
    return {path: path.stat().st_mtime_ns for path in directory.glob("runs/*/*/model.keras")}


def test_runs_are_planned_after_what_they_need(tmp_path):
    config = _config(
        tmp_path,
        "seeds=2,act.ponder_weights=[0.1],sact.ponder_weights=[0.02,0.1]",
        "sact.matched_baselines=[0.1],sact.flops_budgets=[0.6],sact.calibrated=[0.5]",
    )
    runs = planned_runs(config)
    assert [run.name for run in runs[:7]] == [
        "seed3/plain", "seed3/act_0.1", "seed3/sact_0.02", "seed3/sact_0.1",
        "seed3/sact_matched_0.1", "seed3/sact_budget_0.6", "seed3/sact_calibrated_0.5",
    ]  # fmt: skip
    assert [run.name.replace("seed3", "seed4") for run in runs[:7]] == [
        run.name for run in runs[7:]
    ]
    assert runs[4].source == "seed3/sact_0.1" and runs[6].source == "seed3/sact_0.02"
    for number, run in enumerate(runs):
        assert run.source is None or run.source in [earlier.name for earlier in runs[:number]]


def test_stages_change_what_they_say_and_nothing_else(tmp_path):
    config = _config(tmp_path, "sact.ponder_weights=[0.1],sact.flops_budgets=[0.6],seeds=2")
    plain, sact, budget = planned_runs(config)[3:]
    base = flat_items(run_config(config, plain))
    assert base["train.seed"] == 4 and base["model.halting"] is None
    changed = {
        key: value
        for key, value in flat_items(run_config(config, sact, "dir")).items()
        if value != base[key]
    }
    assert changed == {
        "model.halting": "sact", "model.ponder_weight": 0.1, "model.halting_epsilon": 0.01,
        "model.halting_bias": -3.0, "train.warm_start": "dir", "train.steps": 1,
    }  # fmt: skip
    budgeted = run_config(config, budget, "dir")
    assert budgeted.train.flops_budget == 0.6 and budgeted.model.ponder_weight == 0.005


def test_other_plain_networks_have_as_many_updates_as_an_adaptive_one(tmp_path):
    config = _config(tmp_path, "sact.ponder_weights=[0.1],other_units=[1,2]")
    plain, one, two, sact = planned_runs(config)
    assert [plain.name, one.name, two.name] == ["seed3/plain", "seed3/plain_1", "seed3/plain_2"]
    base, other = (flat_items(run_config(config, run)) for run in (plain, one))
    changed = {key: value for key, value in other.items() if value != base[key]}
    assert changed == {"model.units_per_block": 1, "train.steps": 3}
    assert run_config(config, sact, "dir").train.steps + base["train.steps"] == 3
    with pytest.raises(UserError, match="other_units: only network: cifar"):
        load_config(TradeoffConfig, "configs/imagenet/tradeoff.yaml", ["other_units=[2]"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("base.model.halting=act", "base.model.halting: the base is the plain network"),
        ("base.model.depth=50", "base.model.depth: must be null"),
        ("sact.matched_baselines=[0.1]", "sact.matched_baselines: expected some of"),
        ("act.calibrated=[0.5]", "act.calibrated: needs a network"),
        ("other_depths=[18]", "other_depths: expected a list of .one of 50, 101, 152, 200"),
        ("other_depths=[50]", "other_depths: only network: imagenet"),
        ("other_units=[0]", "other_units: expected a list of .an int >= 1"),
        ("sact.ponder_weights=[0.1],adaptive.learning_rate={schedule: cosine}", "initial"),
        (
            "base.train.seed=4294967295,seeds=2",
            "seeds: from base.train.seed .* received 4294967296",
        ),
        ("sact.tau=[1]", "sact.tau: unknown key"),
    ],
)
def test_impossible_experiments_are_refused_before_anything_runs(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        _config(tmp_path, override)


@pytest.mark.parametrize(
    "path", ["configs/tradeoff_quickstart.yaml", "configs/imagenet/tradeoff.yaml"]
)
def test_shipped_configs(path):
    config = load_config(TradeoffConfig, path)
    methods = {run.method for run in planned_runs(config)}
    assert {"plain", "act", "sact", "act_matched", "sact_matched"} <= methods


@pytest.mark.parametrize("end", [errors.TrainingDiverged, errors.Preempted, errors.WorkerLost])
def test_an_early_end_says_which_run_it_was(tmp_path, monkeypatch, end):
    def train(task, directory, identity):
        raise end("no further")

    monkeypatch.setattr(experiment, "train_once", train)
    with pytest.raises(end, match="^seed3/plain: no further$"):
        run_experiment(_config(tmp_path), tmp_path)


@pytest.mark.parametrize("key", ["act.flops_budgets", "sact.calibrated"])
def test_a_budget_out_of_reach_is_refused_before_anything_is_trained(tmp_path, key):
    config = _config(tmp_path, f"sact.ponder_weights=[0.1],{key}=[0.9,0.1]")
    with pytest.raises(UserError, match=f"{key}: .*0.1"):
        run_experiment(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_finished_runs_are_not_trained_again(tmp_path):
    overrides = "sact.ponder_weights=[0.1],sact.calibrated=[0.8],image_sizes=[24]"
    config = _config(tmp_path, overrides)
    runs = planned_runs(config)
    first = run_experiment(config, tmp_path)
    assert [(row["run"], row["image_size"]) for row in first] == [(run.name, 24) for run in runs]
    assert [row["halting"] for row in first] == [None, "sact", "sact"]
    assert first[2]["flops_mean"] < 0.9 * first[1]["flops_mean"]
    before = _modified(tmp_path)
    assert len(before) == 3
    table = (tmp_path / "tradeoff.csv").read_text()
    elsewhere = tmp_path / "runs" / "seed9" / "plain" / "config.yaml"  # by a command beside this
    elsewhere.parent.mkdir(parents=True)
    elsewhere.touch()
    again = running.run(
        "tradeoff",
        f"--config={tmp_path / 'tradeoff.yaml'}",
        f"--model_dir={tmp_path}",
        f"--params_override={overrides}",
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("trained before") == 2
    assert again.stdout.count("calibrated before") == 1
    assert f"without seed9 in {tmp_path / 'runs'}: --seeds takes them in\n" in again.stdout
    assert _modified(tmp_path) == before and (tmp_path / "tradeoff.csv").read_text() == table
    # Another setting under the same name is not passed off as the old run.
    other = _config(tmp_path, "sact.ponder_weights=[0.1],base.train.momentum=0.5")
    with pytest.raises(UserError, match="train.momentum: 0.9 -> 0.5"):
        run_experiment(other, tmp_path)
    # What is made of a run is made again with it, and other data is not passed off as the old.
    (tmp_path / "runs" / "seed3" / "sact_0.1" / "model.keras").touch()
    run_experiment(config, tmp_path)
    calibrated = tmp_path / "runs" / "seed3" / "sact_calibrated_0.8" / "model.keras"
    assert _modified(tmp_path)[calibrated] > before[calibrated]
    data = RunDirectory(tmp_path / "runs" / "seed3" / "plain").data
    data.write_text(data.read_text().replace('"0"', '"zero"'))
    with pytest.raises(UserError, match="started on other classes"):
        run_experiment(config, tmp_path)


@pytest.mark.large
def test_a_killed_experiment_goes_on_where_it_was(tmp_path):
    (tmp_path / "c.yaml").write_text(_CONFIG)
    arguments = [
        f"--config={tmp_path / 'c.yaml'}",
        f"--model_dir={tmp_path / 'out'}",
        "--params_override=sact.ponder_weights=[0.1],sact.matched_baselines=[0.1]",
    ]
    process = running.start("tradeoff", *arguments)
    plain = tmp_path / "out" / "runs" / "seed3" / "plain" / "evaluation" / "metrics.json"
    deadline = time.monotonic() + 400
    while not plain.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = _modified(tmp_path / "out")
    result = running.run("tradeoff", *arguments)
    assert result.returncode == 0, result.stderr
    assert before.items() <= _modified(tmp_path / "out").items()
    assert "trained before" in result.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "config.yaml", "metrics.json", "report.html", "runs", "tradeoff.csv", "tradeoff.png",
        "units_per_block.md",
    }  # fmt: skip
    with (tmp_path / "out" / "tradeoff.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["image_size"]) for row in rows] == [
        (method, size) for method in ("plain", "sact", "sact_matched") for size in ("16", "24")
    ]


def _row(method, value, seed, size, accuracy, flops):
    return {
        "method": method, "value": value, "seed": seed, "image_size": size, "accuracy": accuracy,
        "flops_mean": flops, "flops_std": 2e6, "flops_ratio": 1.0, "num_examples": 9,
        "num_units": {"block1": 2.0, "block2": 1.5}, "run": f"seed{seed}/{method}",
    }  # fmt: skip


_ROWS = [
    _row("plain", None, 0, 48, 0.9, 100e6),
    _row("plain", None, 1, 48, 0.8, 100e6),
    _row("sact", 0.1, 0, 48, 0.85, 50e6),
    _row("sact", 0.1, 1, 48, 0.75, 70e6),
    _row("plain", None, 0, 64, 0.5, 200e6),
    _row("plain", None, 1, 64, 0.5, 200e6),
]


def test_tables_are_means_over_seeds():
    header, body = units_table(_ROWS)
    assert header[2:5] == ["block1", "block2", "all blocks"]
    assert body[0][:2] == ["plain ResNet", "48"]
    assert body[1] == ["SACT, τ = 0.1", "48", "2.00", "1.50", "3.50", "0.8000 ± 0.0707", "60.0%"]
    lines = csv_text(_ROWS).splitlines()
    assert lines[0].startswith("method,value,seed,image_size,accuracy,recall@5,flops_mean")
    assert lines[3].split(",")[:5] == ["sact", "0.1", "0", "48", "0.85"] and len(lines) == 7
    assert [row["flops_ratio"] for row in csv.DictReader(lines)][2:4] == ["0.5", "0.7"]


def test_figure_has_a_panel_per_size_and_bars_over_images():
    axes = tradeoff_figure(_ROWS).axes
    assert [axis.get_title() for axis in axes] == ["48 × 48 pixels", "64 × 64 pixels"]
    (sact,) = [c for c in axes[0].containers if c.lines[0].get_xdata()[0] == 60]
    assert sact.lines[0].get_ydata() == pytest.approx([0.8])
    across, upwards = (np.array(c.get_segments()[0]) for c in sact.lines[2])
    np.testing.assert_allclose(across[:, 0], [58, 62])
    np.testing.assert_allclose(upwards[:, 1], [0.8 - 0.0707, 0.8 + 0.0707], atol=1e-4)


def _timed(row, milliseconds, ratio):
    times = {
        "batch_size": 20, "execution": "auto", "milliseconds_per_image": milliseconds,
        "plain_milliseconds_per_image": milliseconds / ratio,
        "time_ratio": ratio, "time_ratio_min": ratio, "time_ratio_max": ratio,
    }  # fmt: skip
    one = {**times, "batch_size": 1, "milliseconds_per_image": 99.0}
    timing = {"processor": "Abacus", "threads": 2, "one_image": one, "batch": times}
    return {**row, "timing": timing}


_TIMED_ROWS = [
    _timed(_row("plain", None, 0, 48, 0.9, 100e6), 4.0, 1.0),
    _timed(_row("sact", 0.1, 0, 48, 0.85, 50e6), 3.0, 0.625),
    _timed(_row("sact_matched", 0.1, 0, 48, 0.8, 50e6), 1.0, 1.0),
    _row("act", 0.1, 0, 48, 0.7, 50e6),
]


def test_the_legend_of_many_methods_is_inside_the_figure():
    figure = tradeoff_figure([_row(name, 0.1, 0, 48, 0.9, 1e6) for name in METHOD_NAMES])
    figures.to_png(figure)  # lays it out
    legend = figure.legends[0].get_window_extent()
    assert len(figure.legends[0].get_texts()) == len(METHOD_NAMES)
    assert 0 <= legend.x0 and legend.x1 <= figure.bbox.x1


def test_times_stand_beside_flops():
    header, body = units_table(_TIMED_ROWS)
    assert header[-2:] == ["ms per image", "time of plain network"]
    # Adaptive: of turns with its own plain network. A baseline: of the experiment's.
    assert [line[-2:] for line in body] == [["4", "1.00"], ["3", "0.62"], ["1", "0.25"], ["", ""]]
    assert all(len(line) == len(header) for line in body)
    rows = list(csv.DictReader(csv_text(_TIMED_ROWS).splitlines()))
    assert [row["time_ratio"] for row in rows] == ["1.0", "0.625", "0.25", ""]
    assert [row["milliseconds_per_image"] for row in rows] == ["4.0", "3.0", "1.0", ""]
    assert rows[0]["batch_size"] == "20"


def test_a_second_line_of_panels_has_the_time_as_its_axis(tmp_path):
    flops, time_axis = tradeoff_figure(_TIMED_ROWS).axes
    assert "FLOPs" in flops.get_xlabel() and time_axis.get_xlabel().startswith("ms per image")
    points = {
        (container.lines[0].get_xdata()[0], container.lines[0].get_ydata()[0])
        for container in time_axis.containers
    }
    assert points == {(4.0, 0.9), (3.0, 0.85), (1.0, 0.8)}
    write_results(pathlib.Path(tmp_path), _TIMED_ROWS, "")
    assert "Abacus, 2 threads" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("timed, again", [("true", [True]), ("false", [])])
def test_an_evaluation_without_times_is_done_again_for_them(tmp_path, monkeypatch, timed, again):
    config = _config(tmp_path, f"image_sizes=[16],base.evaluation.time={timed}")
    (tmp_path / "model.keras").write_text("")
    known = {"data": config.base.data.as_dict(), "evaluations": [{"image_size": 16}]}
    atomic_write_json(tmp_path / "evaluation" / "metrics.json", known)
    asked = []

    def evaluate_at(model, data, size, batch_size, timed):
        asked.append(timed)
        return {"image_size": size, "timing": {}}

    monkeypatch.setattr(experiment, "evaluate_at", evaluate_at)
    monkeypatch.setattr(experiment, "load_classifier", lambda path: None)
    for _ in range(2):
        experiment._evaluations(config, tmp_path)
    assert asked == again


def test_results_are_files_that_need_nothing_else(tmp_path):
    write_results(pathlib.Path(tmp_path), _ROWS, "seeds: 2\n")
    with Image.open(tmp_path / "tradeoff.png") as picture:
        picture.load()
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "seeds: 2" in page
    assert 'src="http' not in page and "SACT, τ = 0.1" in page
    assert running.read_metrics(tmp_path)["evaluations"][2]["name"] == "seed0/sact at 48"
    assert (tmp_path / "units_per_block.md").read_text().count("\n") == 2 + 3
