"""Runs a trade-off experiment: every network is trained or made, and evaluated, once."""

import functools
import itertools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from sact_tf import budget
from sact_tf.data import ImageClassificationData
from sact_tf.data.identity import DataIdentity
from sact_tf.errors import UserError
from sact_tf.files import atomic_path, atomic_write_json, atomic_write_text
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.resolutions import evaluate_at
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.config.loading import dump_config, given
from sact_tf.training.errors import Preempted, TrainingDiverged, WorkerLost
from sact_tf.training.experiments.matched_baseline.config import matched_config
from sact_tf.training.experiments.stage import apply_stage
from sact_tf.training.experiments.tradeoff.config import (
    PlannedRun,
    TradeoffConfig,
    planned_runs,
    run_config,
)
from sact_tf.training.experiments.tradeoff.results import Row, write_results
from sact_tf.training.loop.train_and_evaluate import train_once
from sact_tf.training.run_directory.directory import RunDirectory, read_metrics

_CALIBRATION_BATCH = 50


def run_experiment(config: TradeoffConfig, directory: pathlib.Path) -> list[Row]:
    """Does what is left to do of an experiment, and writes its results.

    Args:
        config: resolved.
        directory: where everything is written, see `write_results`; the runs into `runs/` there.

    Returns:
        Its results, one row per run and image size.

    Raises:
        TrainingDiverged, Preempted, WorkerLost: of a run, which the message names.
        UserError: the settings or the data are unusable, or the directory holds other runs.
    """
    # A new function for each network is what this is about.
    tf.get_logger().setLevel("ERROR")
    planned = planned_runs(config)
    # Once: files may be decoded for it.
    data = functools.cache(lambda: builders.build_data(config.base.data))
    _check_budgets(config, data)
    settings = dump_config(config)
    atomic_write_text(directory / "config.yaml", settings)

    def identity():
        return data().identity()

    rows, start = [], time.monotonic()
    for number, run in enumerate(planned, start=1):
        minutes = (time.monotonic() - start) / 60
        print(f"[{number}/{len(planned)}, {minutes:.0f} min] {run.name}", flush=True)
        try:
            results = _results_of(config, run, directory / "runs", identity)
        except (TrainingDiverged, Preempted, WorkerLost) as error:
            raise type(error)(f"{run.name}: {error}") from None
        rows += results
        for row in results:
            print(
                f"  {row['image_size']} px: accuracy {row['accuracy']:.4f}, "
                f"{row['flops_mean'] / 1e6:.1f} ± {row['flops_std'] / 1e6:.1f} MFLOPs",
                flush=True,
            )
    write_results(directory, rows, settings)
    print(f"table:  {directory / 'tradeoff.csv'}\nreport: {directory / 'report.html'}")
    found = {path.name for path in directory.glob("runs/seed*")}
    if others := sorted(found - {run.name.partition("/")[0] for run in planned}):
        print(f"without {', '.join(others)} in {directory / 'runs'}: --seeds takes them in")
    return rows


def _check_budgets(config: TradeoffConfig, data: Callable[[], ImageClassificationData]) -> None:
    """Refuses a budget that halting cannot meet before anything is trained."""
    for kind, method in (("act", config.act), ("sact", config.sact)):
        shares = {"flops_budgets": method.flops_budgets, "calibrated": method.calibrated}
        if not any(shares.values()):
            continue
        # The range is the same for every tau.
        run = PlannedRun(kind, config.base.train.seed, value=1.0)
        model = builders.build_model(run_config(config, run, "unknown"), data())
        for name, values in shares.items():
            for share in values:
                builders.check_flops_budget(model, data(), share, f"{kind}.{name}")
        keras.backend.clear_session()


def _results_of(
    config: TradeoffConfig,
    run: PlannedRun,
    runs_dir: pathlib.Path,
    identity: Callable[[], DataIdentity],
) -> list[Row]:
    """Trains (or makes) and evaluates one run, as far as that has not been done."""
    directory = runs_dir / run.name
    if run.source is None:
        task = ClassificationTask(run_config(config, run))
        train_once(task, RunDirectory(directory), identity)
    elif run.method.endswith("_calibrated"):
        _calibrate(config, run, runs_dir / run.source, directory)
    else:
        task = ClassificationTask(_config_from(runs_dir / run.source, config, run))
        train_once(task, RunDirectory(directory), identity)
    about = {"run": run.name, "method": run.method, "value": run.value, "seed": run.seed}
    about["halting"] = run.halting
    return [{**about, **evaluation} for evaluation in _evaluations(config, directory)]


def _config_from(
    source: pathlib.Path, config: TradeoffConfig, run: PlannedRun
) -> ClassificationConfig:
    if not run.method.endswith("_matched"):
        return run_config(config, run, str(source))
    matched = matched_config(source)
    apply_stage(config.matched, matched.train)
    matched.resolve()
    matched.lock()
    return matched


def _calibrate(
    config: TradeoffConfig, run: PlannedRun, source: pathlib.Path, directory: pathlib.Path
) -> None:
    made, trained = (path / "model.keras" for path in (directory, source))
    # The source's is written again where its training or its data has changed.
    if made.exists() and made.stat().st_mtime >= trained.stat().st_mtime:
        print("  calibrated before", flush=True)
        return
    data = builders.build_data(config.base.data)
    batches = -(-config.calibration_images // _CALIBRATION_BATCH)
    images = [
        batch["image"]
        for batch in itertools.islice(
            data.train(_CALIBRATION_BATCH, config.base.train.seed), batches
        )
    ]
    model = load_classifier(source)
    try:
        model = budget.calibrate(model, images, given(run.value))
    except ValueError as error:
        raise UserError(f"{run.name}: {error}") from None
    with atomic_path(made) as temporary:
        model.save(temporary)


def _evaluations(config: TradeoffConfig, directory: pathlib.Path) -> list[dict[str, Any]]:
    """What `evaluate_at` gives at each image size; sizes that were evaluated before are read."""
    file = directory / "evaluation" / "metrics.json"
    known = read_metrics(file)
    data = config.base.data
    same_data = known.get("data") == data.as_dict()
    timed = config.base.evaluation.time
    by_size = {
        evaluation["image_size"]: evaluation
        for evaluation in known.get("evaluations", [])
        if same_data
        and ("timing" in evaluation or not timed)
        and file.stat().st_mtime >= (directory / "model.keras").stat().st_mtime
    }
    missing = [size for size in config.image_sizes if size not in by_size]
    if missing:
        model = load_classifier(directory)
        for size in missing:
            batch_size = config.base.evaluation.batch_size
            by_size[size] = evaluate_at(model, data, size, batch_size, timed)
        evaluations = list(by_size.values())
        content = {"model": str(directory), "data": data.as_dict(), "evaluations": evaluations}
        atomic_write_json(file, content)
    return [by_size[size] for size in config.image_sizes]
