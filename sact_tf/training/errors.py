"""How a training run can end before its last step, without being at fault."""


class TrainingDiverged(Exception):
    """The loss, a gradient or a weight is NaN or infinite."""


class Preempted(BaseException):
    """The process was asked to stop; the same command goes on from what was saved.

    As KeyboardInterrupt no `Exception`: it can come anywhere, also where code goes on after errors.

    Attributes:
        cause: what asked, in words.
    """

    cause = "SIGTERM"


class Interrupted(Preempted):
    """The same by Ctrl-C."""

    cause = "Ctrl-C"


class WorkerLost(Exception):
    """Another worker of the cluster is gone."""
