"""Ponder cost maps as a model of where people look, on cat2000 (section 4.3 of the paper).

    python -m train.cat2000 --model=sact.keras --data_dir=CAT2000/trainSet \
        --image_size=320x180 --output_dir=runs/cat2000

Blur and centre weight are chosen on the first half of every category's images and the metrics
reported on the second half. Exit code 1 means that images were left out (the summary names them).
Results of single images are cached, so an interrupted run goes on where it stopped.
"""

import os
import sys

from absl import flags

from sact_tf.data.preprocessing import NAMES
from sact_tf.saliency import ParameterGrid
from sact_tf.training.experiments.cat2000.experiment import run_experiment
from sact_tf.training.experiments.cat2000.options import parse_grid, parse_size
from train import program

_GRID = ParameterGrid()


def define_flags():
    flags.DEFINE_string(
        "model",
        None,
        "a .keras file (classification or detection), a run directory or a checkpoint",
        required=True,
    )
    flags.DEFINE_string(
        "data_dir", None, "cat2000's trainSet: Stimuli, FIXATIONLOCS, FIXATIONMAPS", required=True
    )
    flags.DEFINE_string("output_dir", None, "where results go", required=True)
    flags.DEFINE_string("cache_dir", None, "default: cache in the output directory")
    flags.DEFINE_string(
        "image_size", "320x180", "WIDTHxHEIGHT the images are resized to for the model"
    )
    flags.DEFINE_list("categories", [], "scene categories to use; all by default")
    flags.DEFINE_enum(
        "preprocessing", None, NAMES, "whose pixel scaling; the one saved with the model by default"
    )
    flags.DEFINE_enum(
        "execution",
        None,
        ["masked", "tiled", "auto", "static"],
        "the one saved with the model by default",
    )
    flags.DEFINE_integer("batch_size", 4, "images per model call", lower_bound=1)
    flags.DEFINE_list(
        "blur_sizes",
        list(map(str, _GRID.blur_sizes)),
        "standard deviations of the blur to try, as shares of the image's width",
    )
    flags.DEFINE_list(
        "center_weights",
        list(map(str, _GRID.center_weights)),
        "shares of the centre baseline to try, 0 to 1",
    )
    flags.DEFINE_float(
        "center_width",
        _GRID.center_width,
        "standard deviation of a Gaussian as centre baseline, as a share of the image's width and "
        "height; the MIT benchmark's map by default",
    )
    flags.DEFINE_string(
        "search_size",
        f"{_GRID.width}x{_GRID.height}",
        "WIDTHxHEIGHT at which the parameters are compared",
    )
    flags.DEFINE_integer("num_figures", 3, "images per category in figure 11", lower_bound=0)
    flags.DEFINE_integer(
        "num_workers", os.cpu_count() or 1, "threads that compute metrics", lower_bound=1
    )


def main(_):
    args = flags.FLAGS
    results = run_experiment(
        args.model,
        args.data_dir,
        args.output_dir,
        parse_size("image_size", args.image_size),
        parse_grid(args.blur_sizes, args.center_weights, args.center_width, args.search_size),
        categories=args.categories,
        cache_dir=args.cache_dir,
        preprocessing=args.preprocessing,
        execution=args.execution,
        batch_size=args.batch_size,
        num_figures=args.num_figures,
        num_workers=args.num_workers,
    )
    if results["left_out"]:
        sys.exit(1)


if __name__ == "__main__":
    program.run(main, define_flags, goes_on=True)
