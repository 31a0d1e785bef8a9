"""Table 1 as one command."""

import csv

import pytest
import yaml

from sact_tf.errors import UserError
from sact_tf.training.config.loading import load_config
from sact_tf.training.experiments.detection_table.config import DetectionTableConfig
from sact_tf.training.experiments.detection_table.experiment import run_experiment
from tests.training import running
from tests.training.detection_running import TINY_DETECTOR


def _times(milliseconds, ratio):
    times = {"batch_size": 1, "execution": "tiled", "milliseconds_per_image": milliseconds}
    times |= {"plain_milliseconds_per_image": milliseconds / ratio}
    times |= dict.fromkeys(("time_ratio", "time_ratio_min", "time_ratio_max"), ratio)
    return {"processor": "Abacus", "threads": 2, "one_image": times}


def test_a_table_of_detectors_resumes_and_compares(tmp_path, monkeypatch):
    times = iter([_times(40.0, 1.0), _times(10.0, 1.0), _times(33.0, 0.75)])
    monkeypatch.setattr("sact_tf.training.loop.run.inference_time", lambda *_: next(times))
    base = yaml.safe_load(TINY_DETECTOR.format(data_dir=tmp_path / "data"))
    for key in ("halting", "ponder_weight"):
        del base["model"][key]
    base["train"]["steps"] = 3
    # Determinism of TensorFlow's operations would stay on for the tests that follow.
    base["runtime"]["deterministic"] = False
    base["evaluation"]["time"] = True
    path, out = tmp_path / "table.yaml", tmp_path / "out"
    table = {"base": base, "shallow_units": [1, 1, 1], "sact": [0.01], "adaptive": {"steps": 2}}
    path.write_text(yaml.safe_dump(table))
    run_experiment(load_config(DetectionTableConfig, path), out)
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert [row["run"] for row in rows] == ["plain_deep", "plain_shallow", "sact_0.01"]
    assert [int(row["steps"]) for row in rows] == [3, 3, 2]
    assert float(rows[0]["flops_share"]) == 1 and 0 < float(rows[1]["flops_share"]) < 1
    lines = (out / "table.md").read_text().splitlines()
    assert len(lines) == 5 and "SACT τ = 0.01" in lines[4]
    # The adaptive one: of turns with its plain network. The shallow one: of the deep one's.
    assert [float(row["time_share"]) for row in rows] == [1, 0.25, 0.75]
    assert [float(row["milliseconds_per_image"]) for row in rows] == [40, 10, 33]
    assert [cell.strip() for cell in lines[4].split("|")[-3:-1]] == ["33", "75"]
    report = (out / "report.html").read_text()
    assert "SACT" in report and "Abacus, 2 threads" in report
    first = running.read_metrics(out)
    again = running.run("detection_table", f"--config={path}", f"--model_dir={out}")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("trained before") == 3
    assert running.read_metrics(out) == first


WRONG = {
    "base.model.halting=sact": "base.model.halting: the base is the plain detector",
    "shallow_units=[1, 1]": "shallow_units: expected one number for each block",
    "base.model.units=[1]": "base.model.units: a detector needs two blocks",
    "sact=[-1]": "sact: expected a list of (a number > 0)",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_tables(override):
    with pytest.raises(UserError) as raised:
        load_config(DetectionTableConfig, "configs/coco/table_quickstart.yaml", [override])
    assert WRONG[override] in str(raised.value)
