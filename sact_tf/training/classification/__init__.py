"""Classification runs: config, task, evaluation, report, loading."""
