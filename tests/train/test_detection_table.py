"""Table 1 as one command."""

import csv
import json

import pytest
import yaml

from tests.training import running
from tests.training.detection_running import TINY_DETECTOR


@pytest.mark.large
def test_a_table_of_detectors_resumes_and_compares(tmp_path):
    base = yaml.safe_load(TINY_DETECTOR.format(data_dir=tmp_path / "data"))
    for key in ("halting", "ponder_weight"):
        del base["model"][key]
    base["train"]["steps"] = 3
    config = tmp_path / "table.yaml"
    table = {"base": base, "shallow_units": [1, 1, 1], "sact": [0.01], "adaptive": {"steps": 2}}
    config.write_text(yaml.safe_dump(table))
    arguments = [f"--config={config}", f"--model_dir={tmp_path / 'out'}"]
    result = running.run("detection_table", *arguments)
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [row["run"] for row in rows] == ["plain_deep", "plain_shallow", "sact_0.01"]
    assert [int(row["steps"]) for row in rows] == [3, 3, 2]
    assert float(rows[0]["flops_share"]) == 1 and 0 < float(rows[1]["flops_share"]) < 1
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert len(lines) == 5 and "SACT τ = 0.01" in lines[4]
    assert "SACT" in (tmp_path / "out" / "report.html").read_text()
    first = json.loads((tmp_path / "out" / "metrics.json").read_text())
    again = running.run("detection_table", *arguments)
    assert again.stdout.count("trained before") == 3, again.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == first


WRONG = {
    "base.model.halting=sact": "base.model.halting: the base is the plain detector",
    "shallow_units=[1, 1]": "shallow_units: expected one number for each block",
    "base.model.units=[1]": "base.model.units: a detector needs two blocks",
    "sact=[-1]": "sact: expected a list of (a number > 0)",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_tables(override):
    from sact_tf.errors import UserError
    from sact_tf.training.config.loading import load_config
    from sact_tf.training.experiments.detection_table_config import DetectionTableConfig

    with pytest.raises(UserError) as raised:
        load_config(DetectionTableConfig, "configs/coco/table_quickstart.yaml", [override])
    assert WRONG[override] in str(raised.value)
