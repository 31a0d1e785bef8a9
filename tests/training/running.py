"""A run small enough to be trained in seconds, and real processes of the programs."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]

STEPS, CHECKPOINT_EVERY = 12, 4
TINY_CONFIG = f"""
model:
  network: cifar
  units_per_block: 2
  base_channels: 4
  halting: sact
  ponder_weight: 0.01
data:
  source: cluttered_digits
  cluttered_digits:
    image_size: 16
    digit_size: 8
    num_distractors: 2
    distractor_size: 4
    num_train: 40
    num_validation: 30
train:
  batch_size: 8
  steps: {STEPS}
  learning_rate: {{schedule: cosine, initial: 0.05}}
  log_every: 2
  checkpoint_every: {CHECKPOINT_EVERY}
  keep_checkpoints: 2
evaluation:
  every: 6
  batch_size: 16
  time: false
  pictures: 3
runtime:
  deterministic: true
"""


def write_config(directory: pathlib.Path, text: str = TINY_CONFIG) -> pathlib.Path:
    """Writes a config file."""
    path = directory / "tiny.yaml"
    path.write_text(text)
    return path


def start(program: str, *arguments: str | os.PathLike, **kwargs) -> subprocess.Popen:
    """Starts `python -m train.PROGRAM` from the top of the project."""
    command = [sys.executable, "-m", f"train.{program}", *map(os.fspath, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs
    )


def run(program: str, *arguments: str | os.PathLike) -> subprocess.CompletedProcess:
    """Runs `python -m train.PROGRAM` to its end."""
    process = start(program, *arguments)
    try:
        out, error = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def read_metrics(run_directory: pathlib.Path) -> dict[str, Any]:
    """Reads `metrics.json`."""
    return json.loads((run_directory / "metrics.json").read_text())


def error_line(result: subprocess.CompletedProcess) -> str:
    """The line that a program ended with on stderr; TensorFlow's own noise is left out."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]
