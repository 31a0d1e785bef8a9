"""Draws time ratio against FLOPs ratio from the JSON files of `benchmarks.tiled_execution`.

python -m benchmarks.plot --json=a.json,b.json --output=docs/performance.png
"""

import json
import pathlib

from absl import flags

from sact_tf.command_line import run
from sact_tf.errors import UserError

_MARKERS = {"masked": "s", "tiled": "o", "auto": "^", "tiled_folded": "D"}


def define_flags():
    flags.DEFINE_list("json", None, "Results to draw.", required=True)
    flags.DEFINE_string("output", "docs/performance.png", "The picture.")


def main(argv):
    del argv
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 5))
    for path in map(pathlib.Path, flags.FLAGS.json):
        if not path.is_file():
            raise UserError(f"--json: there is no file {path}")
        rows = json.loads(path.read_text())["rows"]
        for execution, marker in _MARKERS.items():
            chosen = sorted(
                (r for r in rows if r["execution"] == execution), key=lambda r: r["flops_ratio"]
            )
            if chosen:
                size = "x".join(map(str, chosen[0]["image_size"]))
                axes.plot(
                    [row["flops_ratio"] for row in chosen],
                    [row["time_ratio"] for row in chosen],
                    marker=marker,
                    label=f"{execution}, {chosen[0]['batch']} x {size}",
                )
    axes.plot([0, 1.05], [0, 1.05], color="0.6", linestyle="--", label="ideal: time = FLOPs")
    axes.set(xlabel="FLOPs / dense", ylabel="time / dense", xlim=(0, 1.05), ylim=(0, None))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(flags.FLAGS.output, dpi=120)


if __name__ == "__main__":
    run(main, define_flags)
