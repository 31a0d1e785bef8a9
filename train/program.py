"""What every program of this directory does around its `main`."""

from collections.abc import Callable

from sact_tf import command_line
from sact_tf.training import errors
from train import exit_codes

_ENDINGS = {
    errors.TrainingDiverged: ("error", exit_codes.DIVERGED),
    errors.Preempted: ("stopped", exit_codes.PREEMPTED),
    errors.WorkerLost: ("error", exit_codes.WORKER_LOST),
}


def run(
    main: command_line.Main,
    define_flags: Callable[[], object] | None = None,
    positional: bool = False,
) -> None:
    """`sact_tf.command_line.run`, which also knows how a training run can end early."""
    command_line.run(main, define_flags, positional, _ENDINGS)
