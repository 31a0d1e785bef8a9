"""What the reports of all runs have in common."""

from typing import Any

from sact_tf.files import atomic_path
from sact_tf.training.config.loading import dump_config
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.visualization import figures, html

HALTING_NAMES = {None: "without halting", "act": "with ACT", "sact": "with SACT"}


def lead(config, metrics: dict[str, Any]) -> str:
    """The sentence under the title: what was trained, and on what the figures are.

    Args:
        config: resolved; has the sections `model` and `train`.
        metrics: as in `metrics.json`.
    """
    weight = "" if config.model.halting is None else f", τ = {config.model.ponder_weight:g}"
    return (
        f"{metrics['steps']:,} training steps of {config.train.batch_size} images in "
        f"{metrics['train_seconds']:,.0f} s{weight}, seed {config.train.seed}; "
        f"{metrics['parameters']:,} trainable parameters. All figures below are of "
        f"{metrics['num_examples']:,} held-out images."
    )


def picture(directory: RunDirectory, name: str, drawn: figures.Picture, caption: str) -> str:
    """Writes a picture beside the report, and returns it as HTML for the report."""
    with atomic_path(directory.pictures / f"{name}.png") as temporary:
        temporary.write_bytes(drawn.standalone)
    return html.picture(drawn, caption)


def settings(config, metrics: dict[str, Any]) -> list[str]:
    """The last section: the resolved config, and the versions of the packages."""
    return [
        html.folded_text("config.yaml", dump_config(config)),
        html.table(("package", "version"), sorted(metrics["versions"].items())),
    ]
