"""`train.flops_budget`: the controller inside a training run."""

import json

import pytest

from sact_tf.errors import UserError
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import load_config
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.directory import RunDirectory
from tests.training import running


def _config(tmp_path, *overrides):
    path = running.write_config(tmp_path)
    return load_config(ClassificationConfig, path, overrides)


def test_tau_is_adapted_logged_and_survives_a_restart(tmp_path):
    def run(directory, steps):
        config = _config(tmp_path, f"train.flops_budget=0.6,train.steps={steps}")
        run = TrainingRun(ClassificationTask(config), RunDirectory(directory))
        run.train(evaluates=False)
        return directory

    # The horizon comes from the number of steps, so the stop is one inside the run.
    whole = run(tmp_path / "whole", 12)
    records = [json.loads(line) for line in (whole / "history.jsonl").read_text().splitlines()]
    taus = [record["ponder_weight"] for record in records if record["kind"] == "train"]
    assert len(taus) == 6 and taus[0] > 0.01 and taus == sorted(taus)
    metrics = running.read_metrics(whole)
    assert metrics["ponder_weight"] == pytest.approx(taus[-1])
    assert metrics["flops_budget"] == 0.6
    model = load_classifier(whole)
    assert float(model.backbone.blocks[1].ponder_weight) == pytest.approx(taus[-1])
    biases = [s.local_conv.bias.numpy()[0] for b in model.backbone.blocks for s in b.halting_scores]
    assert min(biases) > -2.9

    # Back to the checkpoint of step 8, and on from there.
    checkpoints = whole / "checkpoints"
    for path in checkpoints.glob("ckpt-12.*"):
        path.unlink()
    state = (checkpoints / "checkpoint").read_text().replace("ckpt-12", "ckpt-8")
    (checkpoints / "checkpoint").write_text(
        "\n".join(line for line in state.splitlines() if "all_model" not in line)
    )
    run(whole, 12)
    records = [json.loads(line) for line in (whole / "history.jsonl").read_text().splitlines()]
    again = [record["ponder_weight"] for record in records if record["kind"] == "train"]
    assert again == taus


def test_summary_and_report_say_how_far_the_budget_is(tmp_path):
    config = _config(tmp_path, "train.flops_budget=0.6,train.steps=2")
    run = TrainingRun(ClassificationTask(config), RunDirectory(tmp_path / "run"))
    run.train(evaluates=False)
    metrics = run.evaluate()
    assert metrics["flops_ratio"] > 0.7  # after two steps
    share = f"{metrics['flops_ratio']:.4f}, budget 0.6 "
    [line] = [line for line in run.task.summary(metrics) if line.startswith("share of plain")]
    assert share in line
    [warning] = [line for line in run.task.summary(metrics) if line.startswith("warning")]
    assert f"{metrics['flops_ratio']:.3f} miss the budget of 0.6" in warning
    met = {**metrics, "flops_ratio": 0.61}
    assert not [line for line in run.task.summary(met) if line.startswith("warning")]
    page = run.directory.report.read_text()
    assert f"{metrics['flops_ratio']:.1%} (budget 60%)" in page
    assert f"a FLOPs budget of 60% (τ = {metrics['ponder_weight']:.3g} at the end)" in page


@pytest.mark.parametrize(("budget", "shown"), [(0.1, "received flops_ratio=0.1"), (1.5, "1.5")])
def test_a_budget_out_of_reach_is_refused_with_the_range(tmp_path, budget, shown):
    config = _config(tmp_path, f"train.flops_budget={budget}")
    with pytest.raises(
        UserError, match=f"train.flops_budget: .* between 0.5[0-9]+ .* 1.0.*{shown}"
    ):
        TrainingRun(ClassificationTask(config), RunDirectory(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_budget_without_halting_is_refused(tmp_path):
    with pytest.raises(UserError, match="train.flops_budget: a network without halting"):
        _config(tmp_path, "train.flops_budget=0.5,model.halting=null,model.ponder_weight=null")
