"""The training loop: strategies, steps, checks, averages."""
