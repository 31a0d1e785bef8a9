"""The trained plain network that a run has started from, to compare it with."""

import pathlib
from collections.abc import Mapping
from typing import Any

from sact_tf.errors import UserError
from sact_tf.training.config.loading import flat_items, load_config
from sact_tf.training.config.training_config import TrainingConfig
from sact_tf.training.run_directory.directory import home_of, read_metrics

# What makes a network without its halting.
_SHAPE = ("network", "depth", "units", "units_per_block", "base_channels", "stem_channels")
# What training alone makes of the images: the held-out ones stay the same.
_AUGMENTATION = {"preprocessing.padding", "preprocessing.cutout"}
_QUALITY = ("accuracy", "recall@5", "mAP", "AP50", "AP75", "num_examples")


def read_plain_run(config: TrainingConfig) -> dict[str, Any]:
    """How good the plain network is, if `train.warm_start` is a finished run of it.

    Args:
        config: resolved, of the run with halting.

    Returns:
        {"plain_run": {"model_dir": its directory, "steps": how long it was trained, "warm_start":
        from which weights, if not from scratch, and of `accuracy`, `mAP`, ... what its
        `metrics.json` has}}. Empty where the run has started from anything else than a finished run
        of the network of the same units and channels without halting, on the same data.
    """
    source = config.train.warm_start
    if source is None or config.model.halting is None:
        return {}
    home = home_of(source)
    try:
        plain = load_config(type(config), home / "config.yaml")
    except UserError:  # A file from elsewhere, or a run of another program.
        return {}
    metrics = read_metrics(home / "metrics.json")
    if (
        plain.model.halting is not None
        or any(getattr(plain.model, key) != getattr(config.model, key) for key in _SHAPE)
        or _held_out(plain) != _held_out(config)
        or "num_examples" not in metrics
        or metrics.get("steps") != plain.train.steps
    ):
        return {}
    run = {"model_dir": str(home), "steps": metrics["steps"]}
    if plain.train.warm_start is not None:
        run["warm_start"] = plain.train.warm_start
    quality = {key: metrics[key] for key in _QUALITY if key in metrics}
    return {"plain_run": {**run, **quality}}


def _held_out(config: TrainingConfig) -> dict[str, Any]:
    items = flat_items(config.data)
    return {key: value for key, value in items.items() if key not in _AUGMENTATION}


def beside_plain_run(metrics: Mapping[str, Any], key: str) -> str:
    """What the plain network reached, in words that follow a number; empty if that is not known.

    Args:
        metrics: the content of `metrics.json`.
        key: of the number.
    """
    plain = metrics.get("plain_run", {})
    if key not in plain:
        return ""
    steps = f"{plain['steps']:,} steps"
    if "warm_start" in plain:
        steps = f"{steps} from {pathlib.PurePath(plain['warm_start']).name}"
    return f"; the plain network trained for {steps} {plain[key]:.4f}"
