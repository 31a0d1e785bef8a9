"""The runs of a trade-off experiment: each trained or made, and evaluated, once."""

import itertools
import json
import pathlib

from sact_tf import budget
from sact_tf.errors import UserError
from sact_tf.files import atomic_path, atomic_write_json
from sact_tf.training.classification import builders
from sact_tf.training.classification.job import train_and_evaluate
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.resolutions import evaluate_at
from sact_tf.training.experiments.matched_config import matched_config
from sact_tf.training.experiments.tradeoff.config import (
    PlannedRun,
    TradeoffConfig,
    apply_stage,
    run_config,
)
from sact_tf.training.run_directory.directory import RunDirectory

_CALIBRATION_BATCH = 50


class Experiment:
    """The runs of one trade-off experiment.

    Args:
        config: resolved.
        directory: where everything is written.
    """

    def __init__(self, config: TradeoffConfig, directory: pathlib.Path):
        self._config = config
        self._runs_dir = directory / "runs"

    def perform(self, run: PlannedRun) -> list[dict]:
        """Trains and evaluates one run, as far as that has not been done.

        Returns:
            Its results, one row per image size.
        """
        directory = self._runs_dir / run.name
        source = self._runs_dir / run.source if run.source else None
        if run.method.endswith("_calibrated"):
            self._calibrate(run, source, directory)
        else:
            self._train(self._run_config(run, source), directory)
        evaluations = self._evaluate(directory)
        about = {
            "run": str(directory.relative_to(self._runs_dir)),
            "method": run.method,
            "value": run.value,
            "seed": run.seed,
        }
        return [{**about, **evaluation} for evaluation in evaluations]

    def _run_config(self, run: PlannedRun, source: pathlib.Path | None):
        if not run.method.endswith("_matched"):
            return run_config(self._config, run, str(source))
        config = matched_config(source)
        apply_stage(self._config.matched, config.train)
        config.resolve()
        config.lock()
        return config

    def _train(self, config, directory: pathlib.Path) -> None:
        run_directory = RunDirectory(directory)
        changes = run_directory.adopt(config, read_only=True)
        metrics = _read_json(run_directory.metrics)
        if metrics.get("steps") == config.train.steps and "accuracy" in metrics and not changes:
            print("  trained before", flush=True)
            return
        train_and_evaluate(config, directory)

    def _calibrate(self, run: PlannedRun, source: pathlib.Path, directory: pathlib.Path) -> None:
        if (directory / "model.keras").exists():
            print("  calibrated before", flush=True)
            return
        data = builders.build_data(self._config.base.data)
        batches = -(-self._config.calibration_images // _CALIBRATION_BATCH)
        images = [
            batch["image"]
            for batch in itertools.islice(
                data.train(_CALIBRATION_BATCH, self._config.base.train.seed), batches
            )
        ]
        model = load_classifier(source)
        try:
            model = budget.calibrate(model, images, run.value)
        except ValueError as error:
            raise UserError(f"{run.name}: {error}") from None
        with atomic_path(directory / "model.keras") as temporary:
            model.save(temporary)

    def _evaluate(self, directory: pathlib.Path) -> list[dict]:
        file = directory / "evaluation" / "metrics.json"
        wanted = self._config.image_sizes
        known = _read_json(file)
        same_data = known.get("data") == self._config.base.data.as_dict()
        by_size = {
            evaluation["image_size"]: evaluation
            for evaluation in known.get("evaluations", [])
            if same_data and file.stat().st_mtime >= (directory / "model.keras").stat().st_mtime
        }
        missing = [size for size in wanted if size not in by_size]
        if missing:
            model = load_classifier(directory)
            for size in missing:
                by_size[size] = evaluate_at(
                    model, self._config.base.data, size, self._config.base.evaluation.batch_size
                )
            atomic_write_json(
                file,
                {
                    "model": str(directory),
                    "data": self._config.base.data.as_dict(),
                    "evaluations": list(by_size.values()),
                },
            )
        return [by_size[size] for size in wanted]


def _read_json(file: pathlib.Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
