"""Runs a table of detectors: every detector is trained and evaluated, once."""

import functools
import pathlib

import tensorflow as tf

from sact_tf.files import atomic_write_text
from sact_tf.training.config.loading import dump_config
from sact_tf.training.detection import builders
from sact_tf.training.detection.task import DetectionTask
from sact_tf.training.experiments.detection_table.config import (
    DetectionTableConfig,
    PlannedDetector,
    detector_config,
    planned_detectors,
)
from sact_tf.training.experiments.detection_table.results import Row, write_results
from sact_tf.training.loop.train_and_evaluate import train_once
from sact_tf.training.run_directory.directory import RunDirectory


def run_experiment(config: DetectionTableConfig, directory: pathlib.Path) -> list[Row]:
    """Does what is left to do of a table, and writes it.

    Args:
        config: resolved.
        directory: where everything is written, see `write_results`; the runs into `runs/` there.

    Returns:
        Each detector with its metrics.

    Raises:
        TrainingDiverged, Preempted, WorkerLost: of a run.
        UserError: the settings or the data are unusable, or the directory holds other runs.
    """
    # A new function for each network is what this is about.
    tf.get_logger().setLevel("ERROR")
    settings = dump_config(config)
    atomic_write_text(directory / "config.yaml", settings)
    deep_dir = directory / "runs" / PlannedDetector().name
    planned = planned_detectors(config)
    identity = functools.cache(lambda: builders.build_data(config.base.data).identity())
    rows: list[Row] = []
    for number, detector in enumerate(planned, start=1):
        print(f"[{number}/{len(planned)}] {detector.name}", flush=True)
        run_config = detector_config(config, detector, str(deep_dir))
        run_directory = RunDirectory(directory / "runs" / detector.name)
        rows.append((detector, train_once(DetectionTask(run_config), run_directory, identity)))
    write_results(directory, rows, config, settings)
    print((directory / "table.md").read_text(encoding="utf-8"))
    print(f"table:  {directory / 'table.csv'}\nreport: {directory / 'report.html'}")
    return rows
