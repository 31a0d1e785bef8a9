"""How a training run can end before its last step, without being at fault."""


class TrainingDiverged(Exception):
    """The loss, a gradient or a weight is NaN or infinite."""


class Preempted(Exception):
    """The process was asked to stop; the same command goes on from what was saved."""


class WorkerLost(Exception):
    """Another worker of the cluster is gone."""
