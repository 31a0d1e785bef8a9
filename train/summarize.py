"""Prints the metrics of several runs as one table.

    python -m train.summarize runs/quickstart runs/tradeoff/runs/*/*

A run is a directory with the `metrics.json` that every program writes, or the file itself. A file
with several evaluations (`train.evaluate`) gives one row for each.
"""

from absl import flags

from sact_tf.training.reports.metrics_table import summarize
from sact_tf.training.reports.tables import FORMS
from train import program


def define_flags():
    flags.DEFINE_enum("format", "text", FORMS, "form of the table")
    flags.DEFINE_list(
        "columns",
        None,
        "names from metrics.json, a.b for b inside a; default: those that runs have",
    )


def main(argv):
    summarize(argv[1:], flags.FLAGS.format, flags.FLAGS.columns)


if __name__ == "__main__":
    program.run(main, define_flags, positional=True)
