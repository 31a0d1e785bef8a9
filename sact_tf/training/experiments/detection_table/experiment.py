"""Runs a table of detectors: every detector is trained and evaluated, once."""

import json
import pathlib
from typing import Any

import keras
import tensorflow as tf

from sact_tf.files import atomic_write_text
from sact_tf.training.config.loading import dump_config
from sact_tf.training.detection.config import DetectionConfig
from sact_tf.training.detection.run import DetectionRun
from sact_tf.training.experiments.detection_table.config import (
    DetectionTableConfig,
    PlannedDetector,
    detector_config,
    planned_detectors,
)
from sact_tf.training.experiments.detection_table.results import Row, write_results
from sact_tf.training.loop.perform import perform
from sact_tf.training.loop.progress import quiet_logging
from sact_tf.training.run_directory.directory import RunDirectory


def run_experiment(config: DetectionTableConfig, directory: pathlib.Path) -> list[Row]:
    """Does what is left to do of a table, and writes it.

    Args:
        config: resolved.
        directory: where everything is written, see `write_results`; the runs into `runs/` there.

    Returns:
        Each detector with its metrics.

    Raises:
        TrainingDiverged, Preempted: of a run.
        UserError: the settings or the data are unusable, or the directory holds other runs.
    """
    # A new function for each network is what this is about.
    tf.get_logger().setLevel("ERROR")
    quiet_logging()
    settings = dump_config(config)
    atomic_write_text(directory / "config.yaml", settings)
    deep_dir = directory / "runs" / PlannedDetector().name
    planned = planned_detectors(config)
    rows: list[Row] = []
    for number, detector in enumerate(planned, start=1):
        print(f"[{number}/{len(planned)}] {detector.name}", flush=True)
        run_config = detector_config(config, detector, str(deep_dir))
        rows.append((detector, _perform(run_config, directory / "runs" / detector.name)))
    write_results(directory, rows, config, settings)
    print((directory / "table.md").read_text(encoding="utf-8"))
    print(f"table:  {directory / 'table.csv'}\nreport: {directory / 'report.html'}")
    return rows


def _perform(config: DetectionConfig, directory: pathlib.Path) -> dict[str, Any]:
    """Trains and evaluates, unless that was done."""
    run_directory = RunDirectory(directory)
    changes = run_directory.adopt(config, read_only=True)
    metrics = _read_json(run_directory.metrics)
    if metrics.get("steps") == config.train.steps and "mAP" in metrics and not changes:
        print("  trained before", flush=True)
        return metrics
    # Names and traced functions of the networks trained before.
    keras.backend.clear_session()
    return perform(DetectionRun(config, run_directory, trains=True), "train_and_eval")


def _read_json(file: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
