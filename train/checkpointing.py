"""Checkpoints of a training run."""

import pathlib

import tensorflow as tf

from sact_tf.errors import UserError


def tracked_variables(owner) -> dict[str, tf.Variable]:
    """Returns all variables of a Keras model or optimizer by path.

    `tf.train.Checkpoint(model=model)` looks at attributes only: of layers that stand in a Python
    list it would leave out the moving statistics, without a word.
    """
    variables = owner.weights if hasattr(owner, "weights") else owner.variables
    by_path = {variable.path: variable.value for variable in variables}
    if len(by_path) != len(variables):
        raise ValueError(f"Expected variables of {owner.name} to have unique paths")
    return by_path


class TrainingCheckpoints:
    """Everything a run needs to go on as if it had never stopped.

    Args:
        directory: where they are kept.
        model: its weights and moving statistics.
        optimizer: built.
        step: int64 variable, steps done.
        train_seconds: float64 variable, time spent on them.
        controller: `tf.Module` with a state of its own, or None.
        keep: how many of the latest to keep.
    """

    def __init__(
        self, directory: pathlib.Path, *, model, optimizer, step, train_seconds, controller, keep
    ):
        self._step = step
        self._checkpoint = tf.train.Checkpoint(
            model=tracked_variables(model),
            optimizer=tracked_variables(optimizer),
            step=step,
            train_seconds=train_seconds,
            **({} if controller is None else {"controller": controller}),
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=keep
        )

    @property
    def latest(self) -> str | None:
        """Prefix of the newest checkpoint, or None."""
        return self._manager.latest_checkpoint

    def restore(self) -> str | None:
        """Restores the newest checkpoint.

        Returns:
            Its prefix, or None if there is none.

        Raises:
            UserError: it is damaged, or does not belong to this model.
        """
        if self.latest is None:
            return None
        try:
            status = self._checkpoint.restore(self.latest)
            status.assert_existing_objects_matched()
        # TensorFlow says IndexError for a file that ends too early.
        except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"checkpoint {self.latest} cannot be restored: {reason}") from None
        return self.latest

    def save(self) -> str:
        """Writes a checkpoint of the current step, named after it, and deletes the oldest.

        Raises:
            UserError: the disk refuses; the earlier checkpoints are intact.
        """
        try:
            return self._manager.save(checkpoint_number=int(self._step))
        except (tf.errors.OpError, OSError) as error:
            raise UserError(
                f"checkpoint of step {int(self._step)} cannot be written: "
                f"{' '.join(str(error).split())[:200]}; the last one is {self.latest}"
            ) from None
