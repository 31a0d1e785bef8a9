"""One step of the training program on several replicas: what it must not depend on."""

import json

import numpy as np
import pytest

from tests.harness import run_python
from tests.training import running

KINDS = {
    "plain": "model.halting=null,model.ponder_weight=null,model.halting_bias=null",
    "masked": "model.statistics=full,model.halting_bias=0.0",
    "tiled": "model.execution=tiled,model.tile_size=2,model.halting_bias=0.0",
}
PROGRAM = """
import json, pathlib, sys
import numpy as np
from sact_tf.training.classification import builders
from sact_tf.training.config.loading import load_config
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.loop.run import TrainingRun
from sact_tf.training.run_directory.directory import RunDirectory

directory, runtime, kinds = pathlib.Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
result = {}
for name, overrides in kinds.items():
    config = load_config(
        ClassificationConfig, directory / "tiny.yaml",
        ["runtime.deterministic=false,evaluation.every=null,train.steps=1,train.log_every=1,"
         "train.batch_size=8,train.learning_rate.initial=0.5,train.weight_decay=0.01",
         runtime, overrides])
    run = TrainingRun(ClassificationTask(config), RunDirectory(directory / name))
    run.train(evaluates=False)
    record = json.loads((directory / name / "history.jsonl").read_text())
    weights = {w.path: w.numpy().tolist() for w in run.model.weights}
    result[name] = {"replicas": run.strategy.num_replicas_in_sync, "record": record,
                    "weights": weights}
    if "synchronized_batch_norm: false" in runtime:
        halves = []
        for batch in run.data.train(4, config.train.seed).take(2):
            with run.strategy.scope():
                model = builders.build_model(config, run.data)
            model.forward(batch["image"], training=True)
            halves.append({w.path: w.numpy() for w in model.non_trainable_weights})
        result[name]["mean_statistics"] = {
            path: ((halves[0][path] + halves[1][path]) / 2).tolist() for path in halves[0]}
        values = run.strategy.experimental_local_results(run.model.non_trainable_weights[0].value)
        result[name]["per_replica"] = [value.numpy().tolist() for value in values]
print(json.dumps(result))
"""


def _train(directory, runtime, kinds):
    directory.mkdir()
    running.write_config(directory)
    printed = run_python(PROGRAM, directory, runtime, json.dumps(kinds), timeout=900)
    return json.loads(printed.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    directory = tmp_path_factory.mktemp("replicas") / "one"
    return _train(directory, "runtime.strategy=one_device", KINDS)


def _largest_difference(ours, theirs):
    return max(
        np.max(np.abs(np.array(ours[path]) - np.array(theirs[path])), initial=0.0) for path in ours
    )


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.large)])
def test_one_step_does_not_depend_on_the_number_of_replicas(one_device, tmp_path, replicas):
    results = _train(
        tmp_path / "many", f"runtime.strategy=mirrored,runtime.replicas={replicas}", KINDS
    )
    for kind, result in results.items():
        expected = one_device[kind]
        assert (expected["replicas"], result["replicas"]) == (1, replicas)
        for key, value in expected["record"].items():
            if key == "kind":
                continue
            assert result["record"][key] == pytest.approx(value, rel=2e-5), (kind, key)
        assert _largest_difference(result["weights"], expected["weights"]) < 1e-4, kind
        units = [v for k, v in result["record"].items() if k.startswith("num_units")]
        assert kind == "plain" or min(units) < 2.0  # something halted


def test_statistics_apart_are_the_mean_of_the_replicas(one_device, tmp_path):
    kinds = {"masked": KINDS["masked"]}
    runtime = "runtime={strategy: mirrored, replicas: 2, synchronized_batch_norm: false}"
    result = _train(tmp_path / "apart", runtime, kinds)["masked"]
    # What synchronizing is for; and that the comparison above sees it.
    assert _largest_difference(result["weights"], one_device["masked"]["weights"]) > 1e-3
    assert _largest_difference(result["mean_statistics"], result["weights"]) < 1e-6
    first, second = result["per_replica"]
    assert first == second
