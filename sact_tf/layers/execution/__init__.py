"""How a block runs its units under a halting policy; one module per execution."""

from sact_tf.layers.execution.masked import run_masked

EXECUTIONS = {"masked": run_masked}

__all__ = ["EXECUTIONS", "run_masked"]
