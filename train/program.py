"""What every program of this directory does around its `main`."""

import shlex
from collections.abc import Callable, Sequence

from absl import flags

from sact_tf import command_line
from sact_tf.training import errors
from sact_tf.training.loop.preemption import Preemption
from train import exit_codes

_ENDINGS = {
    errors.TrainingDiverged: ("error", exit_codes.DIVERGED),
    errors.Interrupted: ("stopped", exit_codes.INTERRUPTED),
    errors.Preempted: ("stopped", exit_codes.PREEMPTED),
    errors.WorkerLost: ("error", exit_codes.WORKER_LOST),
}


def run(
    main: command_line.Main,
    define_flags: Callable[[], object] | None = None,
    positional: bool = False,
    goes_on: bool = False,
) -> None:
    """`sact_tf.command_line.run`, which also knows how a training run can end early.

    Args:
        main, define_flags, positional: see there.
        goes_on: whether the same command goes on where it was stopped. SIGTERM and Ctrl-C then
            end the program as preempted, also before and after its training.
    """
    command_line.run(_stoppable(main) if goes_on else main, define_flags, positional, _ENDINGS)


def _stoppable(main: command_line.Main) -> command_line.Main:
    def stoppable(argv: Sequence[str]) -> None:
        try:
            with Preemption().handled():
                main(argv)
        except errors.Preempted as error:
            said = str(error) or f"{error.cause}; the same command goes on from what is saved"
            raise type(error)(said) from None

    return stoppable


def define_run_flags() -> None:
    """Defines the flags of the programs that train one model."""
    flags.DEFINE_string(
        "config", None, "YAML file (see configs/); default: the config of the run in --model_dir"
    )
    flags.DEFINE_multi_string(
        "params_override",
        [],
        "changes to the config: train.steps=100,model.halting=null,data.skip_corrupt=true; may be "
        "given several times",
    )
    flags.DEFINE_enum("mode", "train_and_eval", ["train", "eval", "train_and_eval"], "what to do")
    flags.DEFINE_string(
        "model_dir", None, "directory of the run: checkpoints, metrics, report", required=True
    )


def commands_with(model_dir: str, *programs: str) -> list[str]:
    """What to run next with a trained model.

    Args:
        model_dir: directory of the run.
        programs: each the name of a program and its flags but for --model.
    """
    model = f"--model={shlex.quote(model_dir)}"
    names_and_flags = [text.partition(" ")[::2] for text in programs]
    return [f"python -m train.{name} {model} {flags}" for name, flags in names_and_flags]
