"""Section 4.3 of the paper: ponder cost maps, parameter search, scores, figure 11."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from sact_tf.errors import UserError
from sact_tf.files import atomic_write_json
from sact_tf.paths import find_input, output_directory, writing
from sact_tf.saliency import Cat2000, ParameterGrid, choose
from sact_tf.training.experiments.cat2000 import figures
from sact_tf.training.experiments.cat2000.cache import ArrayCache
from sact_tf.training.experiments.cat2000.maps import CachedMap, PonderMapper
from sact_tf.training.experiments.cat2000.results import describe, parameters_text, summarize
from sact_tf.training.experiments.cat2000.scores import ImageScorer, for_each


@dataclasses.dataclass
class _Notes:
    """What is said about a run besides its scores.

    Attributes:
        left_out: why, by name of the image.
        seconds: per image, by job.
    """

    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)


def run_experiment(
    model: str,
    data_dir: str,
    output_dir: str,
    image_size: tuple[int, int],
    grid: ParameterGrid,
    categories: Sequence[str] = (),
    cache_dir: str | None = None,
    preprocessing: str | None = None,
    execution: str | None = None,
    batch_size: int = 4,
    num_figures: int = 3,
    num_workers: int = 1,
) -> dict[str, Any]:
    """Scores a model's ponder cost maps; writes `metrics.json` and `figure_11/CATEGORY.png`.

    Args:
        model: path, see `PonderMapper`.
        data_dir: cat2000's trainSet.
        output_dir: where results go.
        image_size: (width, height) in pixels that the images are resized to for the model.
        grid: parameters to search.
        categories: scene categories to use; all by default.
        cache_dir: of results of single images; `cache` in the output directory by default.
        preprocessing: name of the pixel scaling; the one saved with the model by default.
        execution: "masked", "tiled" or "auto"; the one saved with the model by default.
        batch_size: images per model call.
        num_figures: images per category in figure 11.
        num_workers: threads that compute metrics.

    Returns:
        The content of `metrics.json`; its `left_out` names the images that could not be used.

    Raises:
        UserError: the model or the data cannot be used.
    """
    started = time.monotonic()
    width, height = image_size
    directory = output_directory("output_dir", output_dir)
    dataset = Cat2000(find_input(data_dir), categories)
    caches = output_directory("cache_dir", cache_dir) if cache_dir else directory / "cache"
    mapper = PonderMapper(
        model,
        height,
        width,
        ArrayCache(caches / "ponder"),
        {"name": preprocessing} if preprocessing else None,
        execution,
    )
    with writing("output_dir", output_dir):
        directory.mkdir(parents=True, exist_ok=True)
    scorer = ImageScorer(
        mapper.read_map, grid, ArrayCache(caches / "search"), ArrayCache(caches / "scores")
    )
    notes = _Notes()
    maps = _map_images(mapper, dataset, batch_size, notes)
    first, second = ([m for m in maps if m.image.in_first_half == half] for half in (True, False))
    searched = _score(scorer.search, first, num_workers, "parameter search", notes)
    if not searched:
        raise _nothing_usable(data_dir, "first", "parameter search", notes)
    chosen = choose([scores for _, scores in searched], grid)
    scored = _score(lambda m: scorer.score(m, chosen), second, num_workers, "metrics", notes)
    if not scored:
        raise _nothing_usable(data_dir, "second", "metrics", notes)
    results = {
        "model": model,
        "image_size": [width, height],
        "num_images": len(scored),
        "num_search_images": len(searched),
        "num_left_out": len(notes.left_out),
        **summarize(scored),
        "chosen": dataclasses.asdict(chosen),
        "searched": dataclasses.asdict(grid),
        "left_out": [{"image": name, "reason": reason} for name, reason in notes.left_out.items()],
        "seconds_per_image": notes.seconds,
    }
    atomic_write_json(directory / "metrics.json", results)
    num_drawn = figures.draw_categories(
        directory / "figure_11",
        [cached for cached, _ in scored],
        num_figures,
        lambda cached: scorer.combination(cached, chosen),
        f"{parameters_text(chosen)}; {model} at {width}x{height}",
    )
    print(describe(results, chosen), flush=True)
    print(f"\nsaved {directory / 'metrics.json'} and {num_drawn} figures", end="")
    print(f" in {time.monotonic() - started:.0f} s", flush=True)
    return results


def _map_images(
    mapper: PonderMapper, dataset: Cat2000, batch_size: int, notes: _Notes
) -> list[CachedMap]:
    started, num_cached = time.monotonic(), 0
    maps: dict[str, CachedMap] = {}
    progress = tqdm(
        mapper.map_images(dataset.images, batch_size),
        desc="ponder maps",
        total=len(dataset.images),
        disable=None,
    )
    for image, result, was_cached in progress:
        num_cached += was_cached
        if isinstance(result, UserError):
            notes.left_out[image.name] = str(result)
        else:
            maps[image.name] = result
    num_computed = len(maps) - num_cached
    print(f"ponder maps: {num_computed} computed, {num_cached} from the cache", flush=True)
    if num_computed:
        notes.seconds["ponder maps"] = (time.monotonic() - started) / num_computed
    return [maps[image.name] for image in dataset.images if image.name in maps]


def _score(
    function: Callable[[CachedMap], np.ndarray],
    maps: Sequence[CachedMap],
    num_workers: int,
    job: str,
    notes: _Notes,
) -> list[tuple[CachedMap, np.ndarray]]:
    started, scored = time.monotonic(), []
    progress = tqdm(for_each(function, maps, num_workers), desc=job, total=len(maps), disable=None)
    for cached, result in progress:
        if isinstance(result, UserError):
            notes.left_out[cached.image.name] = str(result)
        else:
            scored.append((cached, result))
    if scored:
        notes.seconds[job] = (time.monotonic() - started) / len(maps)
    return scored


def _nothing_usable(data_dir: str, half: str, job: str, notes: _Notes) -> UserError:
    reasons = "".join(f"; {name}: {why}" for name, why in list(notes.left_out.items())[:3])
    return UserError(
        f"{data_dir}: no usable image in the {half} half of any category for the {job}{reasons}"
    )
