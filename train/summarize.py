"""Prints the metrics of several runs as one table.

    python -m train.summarize runs/quickstart runs/tradeoff/runs/*/*

A run is a directory with the `metrics.json` that every program writes, or the file itself. A file
with several evaluations (`train.evaluate`) gives one row for each. `--figure` draws what each run
reaches over the time that it takes for an image, in batches where these were measured.
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
        "names from metrics.json, a.b for b inside a, or all; default: those of most interest",
    )
    flags.DEFINE_string("figure", None, "PNG file: accuracy or mAP over the time per image")


def main(argv):
    summarize(argv[1:], flags.FLAGS.format, flags.FLAGS.columns, flags.FLAGS.figure)


if __name__ == "__main__":
    program.run(main, define_flags, positional=True)
