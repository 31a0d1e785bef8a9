"""Runs a training program as several workers on this machine, to try out what a cluster will do.

    python -m train.launch_local --workers=2 -- --config=configs/quickstart_plain.yaml \
        --model_dir=runs/two

What stands after `--` goes to each worker, with `runtime.strategy=multi_worker_mirrored`. Lines of
the chief, worker 0, appear as they are, those of the others with their number. The first worker
that fails ends the others, and gives its exit code; SIGTERM and SIGINT go to all of them.
"""

import sys

from absl import flags

from sact_tf.training.loop.local_cluster import run_workers
from train import exit_codes, program

_STRATEGY = "--params_override=runtime.strategy=multi_worker_mirrored,runtime.replicas=null"


def define_flags():
    flags.DEFINE_integer("workers", 2, "number of processes", lower_bound=1)
    flags.DEFINE_enum("program", "imagenet", ["imagenet", "coco"], "what each of them runs")


def main(argv):
    args = flags.FLAGS
    command = [sys.executable, "-m", f"train.{args.program}", *argv[1:], _STRATEGY]
    sys.exit(run_workers(command, args.workers, exit_codes.WORKER_LOST))


if __name__ == "__main__":
    program.run(main, define_flags, positional=True)
