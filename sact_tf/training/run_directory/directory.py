"""What a run keeps in its `--model_dir`, and whether a config may go on there."""

import json
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sact_tf import paths
from sact_tf.data.identity import DataIdentity
from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json, atomic_write_text
from sact_tf.training.config.loading import RootConfigT, dump_config, flat_items, load_config
from sact_tf.training.config.training_config import TrainingConfig
from sact_tf.training.run_directory.recorded_data import check_classes, differences

# A run may go on with these changed; everything else in these sections makes another run of it.
_SECTIONS = ("model.", "data.", "train.")
_CHANGEABLE = (
    "model.execution",
    "model.statistics",
    "data.skip_corrupt",
    "data.image_folder.boxes",
    "train.steps",
    "train.learning_rate.",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.warm_start",
)
# Where data lies. It may lie elsewhere if it is recorded, hence can be compared.
_PLACE = re.compile(r"data\.\w+\.\w*(?:_dir|_images|_annotations)")


def home_of(model: str | os.PathLike) -> pathlib.Path:
    """The run directory that a saved model belongs to, or the directory of its file."""
    path = pathlib.Path(model).expanduser()
    for directory in (path, path.parent, path.parent.parent):
        if (directory / "config.yaml").is_file():
            return directory
    return path if path.is_dir() else path.parent


class RunDirectory:
    """Paths inside a `--model_dir`.

    Args:
        path: the directory; made when something is written to it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = paths.output_directory("model_dir", path)
        paths.check_encoding(self.path)
        self.config = self.path / "config.yaml"
        self.data = self.path / "data.json"
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

    def compare(self, config: TrainingConfig) -> dict[str, tuple[Any, Any]]:
        """Compares a config with the one of a run that is here.

        Args:
            config: resolved.

        Returns:
            {key: (before, now)} of every harmless difference; none where there is no run. Places of
            data are among them; `compare_data` says whether the same data is there.

        Raises:
            UserError: the directory holds another run; says what differs.
        """
        if not self.config.exists():
            return {}
        before = flat_items(load_config(type(config), self.config))
        now = flat_items(config)
        changes = {
            key: (before.get(key), now.get(key))
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        }
        refused = [
            f"{key}: {was} -> {wanted}"
            for key, (was, wanted) in changes.items()
            if key.startswith(_SECTIONS)
            and not key.startswith(_CHANGEABLE)
            and not (_PLACE.fullmatch(key) and self.data.exists())
        ]
        if refused:
            raise UserError(
                f"--model_dir={self.path} holds a run with another config; differing (there -> "
                f"now): {'; '.join(refused)}. Give another --model_dir, or the same settings"
            )
        return changes

    def compare_data(self, data: DataIdentity, changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
        """Compares data with that of a run that is here.

        Args:
            data: as it is now.
            changes: of the config, from `compare`.

        Returns:
            Lines that say which files are others, or that nothing could be compared.

        Raises:
            UserError: the run was started on other classes, or lies elsewhere and has other files.
        """
        if not self.config.exists():
            return []
        before = self.read_data()
        if before is None:
            return [
                "warning: this run was started by a version that did not record classes and files; "
                "whether the data is the same cannot be compared, and what "
                "data.image_folder.validation_fraction holds out is chosen otherwise since"
            ]
        check_classes(before, data, self.path)
        lines = list(differences(before, data))
        moved = [key for key in changes if _PLACE.fullmatch(key)]
        if moved and (lines or before.files.keys() != data.files.keys()):
            places = "; ".join(f"{key}: {changes[key][0]} -> {changes[key][1]}" for key in moved)
            raise UserError(
                f"--model_dir={self.path} holds a run on other data (there -> now): {places}. The "
                f"same data at another place would do, but {'; '.join(lines) or 'its files differ'}"
            )
        return [f"warning: the data has changed since the run was saved: {line}" for line in lines]

    def read_data(self) -> DataIdentity | None:
        """The data that the run here was started or resumed on; None where that is not recorded.

        Raises:
            UserError: the record is damaged.
        """
        try:
            return DataIdentity.from_dict(json.loads(self.data.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.data}: cannot be read as the record of a run's data ({error!r}); without "
                "the file the run goes on, and its data is not compared"
            ) from None

    def save(self, config: TrainingConfig, data: DataIdentity | None = None) -> None:
        """Saves a resolved config, and which data the run has.

        Raises:
            UserError: the directory cannot be written.
        """
        with paths.writing("model_dir", self.path):
            atomic_write_text(self.config, dump_config(config))
            if data is not None:
                atomic_write_json(self.data, data.as_dict())

    def finished_metrics(
        self, config: TrainingConfig, identity: Callable[[], DataIdentity]
    ) -> dict[str, Any] | None:
        """The content of `metrics.json` if this very run is trained and evaluated.

        Args:
            config: resolved.
            identity: gives the data as it is now; called where everything else is as it was.

        Returns:
            None if the run has not finished, or if its config or the files of its data are others.

        Raises:
            UserError: the directory holds another run, or one on other classes.
        """
        changes, metrics = self.compare(config), read_metrics(self.metrics)
        is_evaluated = "num_examples" in metrics and metrics.get("steps") == config.train.steps
        if not is_evaluated or changes:
            return None
        return None if self.compare_data(identity(), changes) else metrics


def read_metrics(file: pathlib.Path) -> dict[str, Any]:
    """The content of a `metrics.json`; empty where there is none, or none that can be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
