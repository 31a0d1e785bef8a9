"""Detection runs: config, task, evaluation, report, loading."""
