"""Trains plain and adaptive detectors and puts FLOPs and precision side by side (table 1).

    python -m train.detection_table --config=configs/coco/table_quickstart.yaml

The deep plain detector is trained first; ACT and SACT start from it. Given again, the command goes
on where it was stopped; finished runs are not trained again. Writes `table.md`, `table.csv`,
`report.html` and `metrics.json` into `--model_dir`, the runs themselves into `runs/` there.
"""

import csv
import io
import json
import pathlib
from typing import Any

import keras
import tensorflow as tf
from absl import flags

from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json, atomic_write_text
from sact_tf.training.config.loading import dump_config, load_config
from sact_tf.training.detection.run import DetectionRun
from sact_tf.training.experiments.detection_table_config import (
    DetectionTableConfig,
    PlannedDetector,
    detector_config,
    planned_detectors,
)
from sact_tf.training.loop.perform import perform
from sact_tf.training.loop.progress import quiet_logging
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.visualization import html
from train import program

_CONFIG = flags.DEFINE_string("config", None, "YAML file of the table", required=True)
_PARAMS_OVERRIDE = flags.DEFINE_multi_string(
    "params_override", [], "changes to the config, such as base.train.steps=100,sact=[0.01]"
)
_MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "where everything is written; default: runs/ and the name of the config"
)

_HEADER = ("extractor", "FLOPs (%)", "mAP (%)", "AP50 (%)", "FLOPs per image", "object AUC")
_NUMBERS = ("mAP", "AP50", "AP75", "extractor_flops_mean", "extractor_flops_std", "steps")


def main(_):
    config = load_config(DetectionTableConfig, _CONFIG.value, _PARAMS_OVERRIDE.value)
    default_dir = pathlib.Path("runs") / pathlib.Path(_CONFIG.value).stem
    directory = pathlib.Path(_MODEL_DIR.value or default_dir).expanduser()
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--model_dir: {directory} is a file, expected a directory")
    # A new function for each network is what this program is about.
    tf.get_logger().setLevel("ERROR")
    quiet_logging()
    settings = dump_config(config)
    atomic_write_text(directory / "config.yaml", settings)
    deep_dir = directory / "runs" / PlannedDetector().name
    rows: list[tuple[PlannedDetector, dict[str, Any]]] = []
    planned = planned_detectors(config)
    for number, detector in enumerate(planned, start=1):
        print(f"[{number}/{len(planned)}] {detector.name}", flush=True)
        run_config = detector_config(config, detector, str(deep_dir))
        rows.append((detector, _results(run_config, directory / "runs" / detector.name)))
    _write(directory, config, rows, settings)
    print((directory / "table.md").read_text(encoding="utf-8"))
    print(f"table:  {directory / 'table.csv'}\nreport: {directory / 'report.html'}")


def _results(config, directory: pathlib.Path) -> dict[str, Any]:
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


def _write(directory: pathlib.Path, config: DetectionTableConfig, rows, settings: str) -> None:
    deep = rows[0][1]["extractor_flops_mean"]
    body = [_texts(config, planned, metrics, deep) for planned, metrics in rows]
    lines = [_HEADER, ["---"] * len(_HEADER), *body]
    atomic_write_text(
        directory / "table.md", "".join("| " + " | ".join(line) + " |\n" for line in lines)
    )
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["run", "halting", "ponder_weight", "flops_share", *_NUMBERS])
    for planned, metrics in rows:
        share = metrics["extractor_flops_mean"] / deep
        numbers = [metrics.get(key, "") for key in _NUMBERS]
        writer.writerow(
            [planned.name, planned.halting or "", planned.ponder_weight or "", share, *numbers]
        )
    atomic_write_text(directory / "table.csv", buffer.getvalue())
    evaluations = [{"name": planned.name, **metrics} for planned, metrics in rows]
    atomic_write_json(directory / "metrics.json", {"evaluations": evaluations})
    sections = {
        "Results": [
            html.table(_HEADER, body),
            html.paragraph(
                "FLOPs of the feature extractor (multiply-add = 2, convolutions only, halting "
                "branches included), mean ± standard deviation over images, as a share of the deep "
                "plain extractor's. Object AUC: how well the ponder map tells the pixels of "
                "objects from the others."
            ),
        ],
        "Settings": [html.folded_text("config.yaml", settings)],
    }
    lead = f"{len(rows)} detectors, {rows[0][1]['num_examples']:,} held-out images."
    page = html.page("Detectors: FLOPs and precision", lead, sections)
    atomic_write_text(directory / "report.html", page)


def _texts(config, planned: PlannedDetector, metrics: dict[str, Any], deep: float) -> list[str]:
    if planned.halting is None:
        units = config.shallow_units if planned.shallow else config.base.model.units
        name = f"plain, units {'-'.join(map(str, units))}" if units else "plain"
    else:
        name = f"{planned.halting.upper()} τ = {planned.ponder_weight:g}"
    mean, spread = metrics["extractor_flops_mean"], metrics["extractor_flops_std"]
    share = f"{mean / deep:.1%}"
    if planned.halting is not None:
        share += f" ± {spread / deep:.1%}"
    return [
        name,
        share.replace("%", ""),
        *(f"{100 * metrics[key]:.2f}" if key in metrics else "" for key in ("mAP", "AP50")),
        f"{mean:.4g}",
        f"{metrics['ponder_localization_auc']:.3f}" if "ponder_localization_auc" in metrics else "",
    ]


if __name__ == "__main__":
    program.run(main)
