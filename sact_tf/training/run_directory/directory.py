"""What a run keeps in its `--model_dir`, and whether a config may go on there."""

import os
import pathlib
from collections.abc import Sequence

from official.modeling.hyperparams import base_config

from sact_tf.errors import UserError
from sact_tf.files import atomic_write_text
from sact_tf.training.config.loading import RootConfigT, dump_config, flat_items, load_config

# A run may go on with these changed; everything else in these sections makes another run of it.
_SECTIONS = ("model", "data", "train")
_CHANGEABLE = (
    "model.execution",
    "train.steps",
    "train.learning_rate.",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.warm_start",
)


class RunDirectory:
    """Paths inside a `--model_dir`.

    Args:
        path: the directory; made when something is written to it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path).expanduser()
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--model_dir: {path} is a file, expected a directory")
        self.config = self.path / "config.yaml"
        self.checkpoints = self.path / "checkpoints"
        self.lock = self.path / "lock"
        self.events = self.path / "events"
        self.history = self.path / "history.jsonl"
        self.metrics = self.path / "metrics.json"
        self.model = self.path / "model.keras"
        self.report = self.path / "report.html"
        self.pictures = self.path / "pictures"

    def read_config(
        self,
        config_class: type[RootConfigT],
        path: str | os.PathLike | None,
        overrides: Sequence[str],
    ) -> RootConfigT:
        """Reads the config at `path`, or that of the run that is here; see `load_config`.

        Raises:
            UserError: there is neither, or it is wrong.
        """
        if path is None:
            if not self.config.exists():
                raise UserError(f"--config is needed: there is no run in --model_dir={self.path}")
            path = self.config
        return load_config(config_class, path, overrides)

    def adopt(self, config: base_config.Config, read_only: bool = False) -> list[str]:
        """Saves the resolved config, after comparing it with the one of a run that is here.

        Args:
            config: resolved.
            read_only: compare only.

        Returns:
            One text `key: before -> now` for every harmless difference.

        Raises:
            UserError: the directory holds another run; says what differs.
        """
        changes = []
        if self.config.exists():
            before = flat_items(load_config(type(config), self.config))
            now = flat_items(config)
            differing = [
                f"{key}: {before.get(key)} -> {now.get(key)}"
                for key in sorted(before.keys() | now.keys())
                if before.get(key) != now.get(key)
            ]
            refused = [text for text in differing if _makes_another_run(text)]
            if refused:
                raise UserError(
                    f"--model_dir={self.path} holds a run with another config; differing (there -> "
                    f"now): {'; '.join(refused)}. Give another --model_dir, or the same settings"
                )
            changes = differing
        if not read_only:
            try:
                atomic_write_text(self.config, dump_config(config))
            except OSError as error:
                raise UserError(
                    f"--model_dir={self.path}: cannot be written: {error.strerror}"
                ) from None
        return changes


def _makes_another_run(key: str) -> bool:
    return key.startswith(tuple(f"{name}." for name in _SECTIONS)) and not key.startswith(
        _CHANGEABLE
    )
