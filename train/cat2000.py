"""Ponder cost maps as a model of where people look, on cat2000 (section 4.3 of the paper).

    python -m train.cat2000 --model=sact.keras --data_dir=CAT2000/trainSet \
        --image_size=320x180 --output_dir=runs/cat2000

Blur and centre weight are chosen on the first half of every category's images and the metrics
reported on the second half. Exit code 1 means that images were left out (the summary names them).
Results of single images are cached, so an interrupted run goes on where it stopped.
"""

import dataclasses
import os
import pathlib
import re
import sys
import time

from absl import flags
from tqdm import tqdm

from sact_tf.data.preprocessing import NAMES
from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json
from sact_tf.paths import find_input
from sact_tf.saliency import Cat2000, ParameterGrid, SearchResult, choose
from sact_tf.training.experiments.cat2000 import figures as cat2000_figures
from sact_tf.training.experiments.cat2000.cache import ArrayCache
from sact_tf.training.experiments.cat2000.evaluation import (
    METRICS,
    PREDICTORS,
    Evaluator,
    for_each,
    summarize,
)
from sact_tf.training.experiments.cat2000.ponder import PonderedImage, PonderMapper
from train import program

_DEFAULTS = ParameterGrid()

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "a .keras file (classification or detection), a run directory or a checkpoint",
    required=True,
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "cat2000's trainSet: Stimuli, FIXATIONLOCS, FIXATIONMAPS", required=True
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "where results go", required=True)
_CACHE_DIR = flags.DEFINE_string("cache_dir", None, "default: cache in the output directory")
_IMAGE_SIZE = flags.DEFINE_string(
    "image_size", "320x180", "WIDTHxHEIGHT the images are resized to for the model"
)
_CATEGORIES = flags.DEFINE_list("categories", [], "scene categories to use; all by default")
_PREPROCESSING = flags.DEFINE_enum(
    "preprocessing", None, NAMES, "whose pixel scaling; the one saved with the model by default"
)
_EXECUTION = flags.DEFINE_enum(
    "execution", None, ["masked", "tiled", "auto"], "the one saved with the model by default"
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "images per model call", lower_bound=1)
_BLUR_SIZES = flags.DEFINE_list(
    "blur_sizes",
    [str(size) for size in _DEFAULTS.blur_sizes],
    "standard deviations of the blur to try, as shares of the image's width",
)
_CENTER_WEIGHTS = flags.DEFINE_list(
    "center_weights",
    [str(weight) for weight in _DEFAULTS.center_weights],
    "multipliers of the centre baseline to try",
)
_CENTER_WIDTH = flags.DEFINE_float(
    "center_width",
    _DEFAULTS.center_width,
    "standard deviation of the centre baseline as a share of the image's width and height",
)
_SEARCH_SIZE = flags.DEFINE_string(
    "search_size",
    f"{_DEFAULTS.width}x{_DEFAULTS.height}",
    "WIDTHxHEIGHT at which the parameters are compared",
)
_NUM_FIGURES = flags.DEFINE_integer(
    "num_figures", 3, "images per category in figure 11", lower_bound=0
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers", os.cpu_count() or 1, "threads that compute metrics", lower_bound=1
)

_LABELS = {
    "center_baseline": "centre baseline alone",
    "ponder_map": "ponder map alone",
    "combination": "ponder map + centre",
}


def main(_):
    started = time.monotonic()
    width, height = _parse_size("image_size", _IMAGE_SIZE.value)
    grid = _parse_grid()
    output_dir = _make_output_dir(_OUTPUT_DIR.value)
    dataset = Cat2000(find_input(_DATA_DIR.value), _CATEGORIES.value)
    cache_dir = pathlib.Path(_CACHE_DIR.value or output_dir / "cache")
    mapper = PonderMapper(
        _MODEL.value,
        height,
        width,
        ArrayCache(cache_dir / "ponder"),
        {"name": _PREPROCESSING.value} if _PREPROCESSING.value else None,
        _EXECUTION.value,
    )
    left_out: dict[str, str] = {}
    seconds: dict[str, float] = {}
    evaluator = Evaluator(
        mapper.read_map, grid, ArrayCache(cache_dir / "search"), ArrayCache(cache_dir / "scores")
    )

    pondered = _ponder(mapper, dataset, left_out, seconds)
    searched = _run(
        "parameter search",
        evaluator.search,
        [image for image in pondered if image.image.in_first_half],
        left_out,
        seconds,
    )
    chosen = choose([scores for _, scores in searched], grid)
    scored = _run(
        "metrics",
        lambda image: evaluator.score(image, chosen),
        [image for image in pondered if not image.image.in_first_half],
        left_out,
        seconds,
    )
    results = {
        "model": _MODEL.value,
        "image_size": [width, height],
        "num_images": len(scored),
        "num_search_images": len(searched),
        "num_left_out": len(left_out),
        **summarize(scored),
        "chosen": dataclasses.asdict(chosen),
        "searched": dataclasses.asdict(grid),
        "left_out": [{"image": name, "reason": reason} for name, reason in left_out.items()],
        "seconds_per_image": seconds,
    }
    atomic_write_json(output_dir / "metrics.json", results)
    figures = _draw(output_dir, evaluator, [image for image, _ in scored], chosen)
    print(_describe(results, chosen), flush=True)
    print(f"\nsaved {output_dir / 'metrics.json'} and {figures} figures", end="")
    print(f" in {time.monotonic() - started:.0f} s", flush=True)
    if left_out:
        sys.exit(1)


def _ponder(mapper, dataset, left_out, seconds) -> list[PonderedImage]:
    started, num_cached = time.monotonic(), 0
    results: dict[str, PonderedImage] = {}
    progress = tqdm(
        mapper.map_images(dataset.images, _BATCH_SIZE.value),
        desc="ponder maps",
        total=len(dataset.images),
    )
    for image, result, was_cached in progress:
        num_cached += was_cached
        if isinstance(result, UserError):
            left_out[image.name] = str(result)
        else:
            results[image.name] = result
    num_computed = len(results) - num_cached
    print(f"ponder maps: {num_computed} computed, {num_cached} from the cache", flush=True)
    if num_computed:
        seconds["ponder maps"] = (time.monotonic() - started) / num_computed
    return [results[image.name] for image in dataset.images if image.name in results]


def _run(job, function, images, left_out, seconds) -> list[tuple]:
    started, done = time.monotonic(), []
    for pondered, result in tqdm(
        for_each(function, images, _NUM_WORKERS.value), desc=job, total=len(images)
    ):
        if isinstance(result, UserError):
            left_out[pondered.image.name] = str(result)
        else:
            done.append((pondered, result))
    if not done:
        reasons = "".join(f"; {name}: {reason}" for name, reason in list(left_out.items())[:3])
        half = "second" if job == "metrics" else "first"
        raise UserError(
            f"{_DATA_DIR.value}: no usable image in the {half} half of any category for the {job}"
            f"{reasons}"
        )
    seconds[job] = (time.monotonic() - started) / len(images)
    return done


def _draw(output_dir, evaluator, images, chosen: SearchResult) -> int:
    categories = list(dict.fromkeys(pondered.image.category for pondered in images))
    if not _NUM_FIGURES.value:
        return 0
    note = (
        f"blur {chosen.blur_size:g} of the image's width, centre weight {chosen.center_weight:g}; "
        f"{_MODEL.value} at {_IMAGE_SIZE.value}"
    )
    for category in tqdm(categories, desc="figure 11"):
        group = [pondered for pondered in images if pondered.image.category == category]
        rows = [
            (
                pondered.image.stem,
                pondered.image.read_image(),
                pondered.image.read_human_map(),
                evaluator.combination(pondered, chosen),
            )
            for pondered in group[: _NUM_FIGURES.value]
        ]
        cat2000_figures.draw(output_dir / "figure_11" / f"{category}.png", category, rows, note)
    return len(categories)


def _describe(results: dict, chosen: SearchResult) -> str:
    lines = [
        "",
        f"{results['num_images']} images, second half of every category; parameters from "
        f"{results['num_search_images']} images of the first",
        f"blur {chosen.blur_size:g} of the image's width, centre weight {chosen.center_weight:g}; "
        f"ponder map alone: blur {chosen.ponder_blur_size:g}",
    ]
    if chosen.at_edge:
        lines.append(f"at the edge of what was searched: {', '.join(chosen.at_edge)}")
    lines += ["", f"{'':<24}" + "".join(f"{name:>10}" for name in METRICS)]
    for predictor in PREDICTORS:
        values = results["overall"][predictor].values()
        lines.append(f"{_LABELS[predictor]:<24}" + "".join(f"{value:>10.4f}" for value in values))
    lines += [
        "",
        f"{'auc_judd by category':<24}{'images':>8}{'centre':>10}{'ponder':>10}{'both':>10}",
    ]
    for name, category in results["categories"].items():
        values = "".join(f"{category[predictor]['auc_judd']:>10.4f}" for predictor in PREDICTORS)
        lines.append(f"{name:<24}{category['num_images']:>8}{values}")
    if results["left_out"]:
        lines += ["", f"{results['num_left_out']} images were left out:"]
        lines += [f"  {entry['image']}: {entry['reason']}" for entry in results["left_out"]]
    return "\n".join(lines)


def _parse_size(flag: str, value: str) -> tuple[int, int]:
    size = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value)
    if not size:
        raise UserError(f"--{flag}: expected WIDTHxHEIGHT such as 320x180, received {value!r}")
    return int(size.group(1)), int(size.group(2))


def _parse_grid() -> ParameterGrid:
    width, height = _parse_size("search_size", _SEARCH_SIZE.value)
    numbers = {}
    for flag in (_BLUR_SIZES, _CENTER_WEIGHTS):
        try:
            numbers[flag.name] = tuple(float(value) for value in flag.value)
        except ValueError as error:
            raise UserError(
                f"--{flag.name}: expected numbers between commas, received {','.join(flag.value)}"
            ) from error
    try:
        return ParameterGrid(
            **numbers, center_width=_CENTER_WIDTH.value, height=height, width=width
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def _make_output_dir(path: str) -> pathlib.Path:
    directory = pathlib.Path(path).expanduser()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir={path}: cannot be made ({error.strerror})") from error
    return directory


if __name__ == "__main__":
    program.run(main)
