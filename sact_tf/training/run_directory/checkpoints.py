"""Checkpoints of a training run."""

import contextlib
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping

import keras
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.text import one_line
from sact_tf.training.config.sections import WeightAverageConfig

_INDEX = re.compile(r"ckpt-(\d+)\.(?:index|data-.*)")


def tracked_variables(owner: keras.Model | keras.optimizers.Optimizer) -> dict[str, tf.Variable]:
    """Returns all variables of a Keras model or optimizer by path.

    `tf.train.Checkpoint(model=model)` looks at attributes only: of layers that stand in a Python
    list it would leave out the moving statistics, without a word.
    """
    variables = owner.weights if isinstance(owner, keras.Model) else owner.variables
    by_path = {variable.path: variable.value for variable in variables}
    if len(by_path) != len(variables):
        raise ValueError(f"Expected variables of {owner.name} to have unique paths")
    return by_path


def restore_weights(
    prefix: str, model: keras.Model, weight_average: WeightAverageConfig | None = None
) -> None:
    """Restores a model from the checkpoint of a training run, as it would be evaluated there.

    Args:
        prefix: of the checkpoint.
        model: of the same architecture.
        weight_average: the section `train.weight_average` of the run's config.

    Raises:
        Whatever `loading_checkpoint` explains: it is damaged, or of another model.
    """
    variables = tracked_variables(model)
    parts = [{"model": variables}]
    if weight_average is not None:
        if weight_average.moving_statistics == "latest":
            variables = {weight.path: weight.value for weight in model.trainable_variables}
        parts.append({"average": variables})
    for part in parts:
        status = tf.train.Checkpoint(**part).restore(prefix)
        status.assert_existing_objects_matched().expect_partial()


@contextlib.contextmanager
def loading_checkpoint(prefix: str) -> Iterator[None]:
    """What TensorFlow raises inside for a damaged or foreign checkpoint becomes a `UserError`."""
    try:
        yield
    except (tf.errors.OpError, AssertionError, IndexError, StopIteration, ValueError) as error:
        reason = one_line(error)[:200]
        raise UserError(f"checkpoint {prefix} cannot be loaded: {reason}") from None


class TrainingCheckpoints:
    """Everything a run needs to go on as if it had never stopped.

    Args:
        directory: where they are kept.
        step: int64 variable, steps done.
        keep: how many of the latest to keep.
        writes: whether this process is the one that writes.
        say: takes a line for people.
        **parts: what else is kept: dicts of variables and `tf.Module`s; None is left out.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        step: tf.Variable,
        keep: int,
        writes: bool = True,
        say: Callable[[str], None] = print,
        **parts: Mapping[str, tf.Variable] | tf.Module | None,
    ):
        self._directory = directory
        self._step = step
        self._writes = writes
        self._say = say
        kept = {name: part for name, part in parts.items() if part is not None}
        self._checkpoint = tf.train.Checkpoint(step=step, **kept)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=keep
        )
        self._latest: str | None = None

    @property
    def latest(self) -> str | None:
        """Prefix of the newest checkpoint that was restored or saved, or None."""
        return self._latest

    def restore(self) -> str | None:
        """Restores the newest checkpoint that is whole.

        Returns:
            Its prefix, or None if there is none at all.

        Raises:
            UserError: none of them is whole, or one does not belong to this model.
        """
        found = found_checkpoints(self._directory)
        for prefix in found:
            try:
                self._checkpoint.restore(prefix).assert_existing_objects_matched()
            except (AssertionError, ValueError) as error:
                raise UserError(
                    f"checkpoint {prefix} is not of this model: {_in_short(error)}"
                ) from None
            # TensorFlow says IndexError for a file that ends too early.
            except (tf.errors.OpError, IndexError) as error:
                self._say(
                    f"warning: checkpoint {prefix} is damaged and is not used: {_in_short(error)}"
                )
            else:
                self._latest = prefix
                return prefix
        if found:
            raise UserError(
                f"none of the checkpoints in {self._directory} can be restored; the newest is "
                f"{found[0]}"
            )
        return None

    def save(self) -> str:
        """Writes a checkpoint of the current step, named after it, and deletes the oldest.

        Returns:
            Its prefix.

        Raises:
            UserError: the disk refuses; the earlier checkpoints are intact.
        """
        number = int(self._step.numpy())
        if not self._writes:
            self._latest = str(self._directory / f"ckpt-{number}")
            return self._latest
        try:
            self._latest = self._manager.save(checkpoint_number=number)
        except (tf.errors.OpError, OSError) as error:
            # What was written of it would take the room that another try needs.
            for path in self._directory.glob(f"ckpt-{number}_temp*"):
                shutil.rmtree(path, ignore_errors=True)
            raise UserError(
                f"checkpoint of step {number} cannot be written: {_in_short(error)}; "
                f"the last one is {self.latest}"
            ) from None
        return self._latest


def found_checkpoints(directory: pathlib.Path) -> list[str]:
    """Prefixes of the checkpoints in a directory, newest first, damaged ones too.

    By the files themselves: TensorFlow's list of them, the file `checkpoint`, may be lost as well.
    """
    paths = directory.iterdir() if directory.is_dir() else ()
    matches = [match for path in paths if (match := _INDEX.fullmatch(path.name))]
    steps = sorted({int(match[1]) for match in matches}, reverse=True)
    return [str(directory / f"ckpt-{step}") for step in steps]


def newest_checkpoint(run: pathlib.Path) -> str:
    """Prefix of the newest checkpoint of the run in a directory.

    Raises:
        UserError: there is none.
    """
    prefixes = found_checkpoints(run / "checkpoints")
    if not prefixes:
        raise UserError(f"{run}: the run has neither a model.keras nor a checkpoint yet")
    return prefixes[0]


def _in_short(error: Exception) -> str:
    """The message without the names of TensorFlow's own functions."""
    return one_line(re.sub(r"\{\{.*?\}\}", "", str(error)))[:300]
