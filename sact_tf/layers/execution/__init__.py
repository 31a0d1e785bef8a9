"""How a block runs its units under a halting policy; one module per execution."""

from sact_tf.layers.execution.masked import run_masked
from sact_tf.layers.execution.tiled import run_auto, run_tiled

EXECUTIONS = {"masked": run_masked, "tiled": run_tiled, "auto": run_auto}

__all__ = ["EXECUTIONS", "run_auto", "run_masked", "run_tiled"]
