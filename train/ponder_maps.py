"""Draws where a classifier spends its computation on one's own images (figures 8 and 9).

    python -m train.ponder_maps --model=runs/quickstart --images='photos/*.jpg' --output_dir=maps

Images of any size and format go through the network whole, with their aspect ratio. For each one
`--output_dir` gets the ponder cost map of every block and in total beside the image, and the total
laid over it; `index.html` shows all of them in groups of low, middle and high cost, and
`metrics.json` has the numbers. One colour scale per block, and one for the total, serve all images.

A file that is no readable image is named on stderr and skipped; the exit code is then 1.
"""

import pathlib
import sys

from absl import flags

from sact_tf.errors import UserError
from sact_tf.files import atomic_path, atomic_write_json, atomic_write_text
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.images import ponder_map_pages
from sact_tf.training.images.files import find_images
from sact_tf.training.images.ponder import ImagePonder, PonderedImage, read_shown
from sact_tf.visualization.ponder_maps import shared_limits
from train import program

_MODEL = flags.DEFINE_string(
    "model", None, "a .keras file, a run directory or a checkpoint", required=True
)
_IMAGES = flags.DEFINE_string(
    "images", None, "an image, a pattern ('**' for any depth) or a folder", required=True
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "where everything is written", required=True)
_SHORT_SIDE = flags.DEFINE_integer(
    "short_side",
    None,
    "pixels that the shorter side of every image is resized to; 0 for the file's own size; "
    "default: the size that the model was trained with",
    lower_bound=0,
)
_LONG_SIDE = flags.DEFINE_integer(
    "long_side", 1600, "pixels that the longer side is limited to", lower_bound=1
)

_SKIPPED_CODE = 1


def main(_):
    paths = find_images(_IMAGES.value)
    output_dir = pathlib.Path(_OUTPUT_DIR.value).expanduser()
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output_dir: {output_dir} is a file, expected a directory")
    run = ImagePonder(load_classifier(_MODEL.value), _SHORT_SIDE.value, _LONG_SIDE.value)
    skipped: dict[str, str] = {}
    images = []
    for path in paths:
        try:
            images.append(run(path))
        except UserError as error:
            _skip(skipped, path, error)
    entries, records = [], []
    limits = _limits(images)
    for image, name in zip(
        images, ponder_map_pages.file_names([image.path for image in images]), strict=True
    ):
        files = (f"{name}_maps.png", f"{name}_overlay.png")
        try:
            shown = read_shown(image.path)
        except UserError as error:
            _skip(skipped, image.path, error)
            continue
        _draw(image, shown, limits, [output_dir / file for file in files])
        entries.append((image.cost, *files, _caption(image)))
        records.append(_record(image, files))
        print(f"{image.path}: {_caption(image)}", flush=True)
    _write_summary(output_dir, entries, records, skipped)
    if skipped:
        print(f"{len(skipped)} of {len(paths)} files skipped", file=sys.stderr)
        sys.exit(_SKIPPED_CODE)


def _skip(skipped: dict[str, str], path: pathlib.Path, error: UserError) -> None:
    print(f"skipped: {error}", file=sys.stderr, flush=True)
    skipped[str(path)] = str(error)


def _limits(images: list[PonderedImage]) -> dict[str, tuple[float, float]]:
    if not images:
        return {}
    blocks = images[0].block_maps
    limits = {name: shared_limits(image.block_maps[name] for image in images) for name in blocks}
    return {"total": shared_limits(image.total_map for image in images), **limits}


def _draw(image: PonderedImage, shown, limits, files: list[pathlib.Path]) -> None:
    try:
        with atomic_path(files[0]) as temporary:
            temporary.write_bytes(ponder_map_pages.maps_png(image, shown, limits))
        with atomic_path(files[1]) as temporary:
            ponder_map_pages.overlay_image(image, shown, limits).save(temporary)
    except OSError as error:
        raise _not_writable(files[0].parent, error) from None


def _not_writable(directory: pathlib.Path, error: OSError) -> UserError:
    return UserError(f"--output_dir={directory}: cannot be written: {error.strerror}")


def _caption(image: PonderedImage) -> str:
    height, width = image.input_size
    units = ", ".join(f"{value:.2f}" for value in image.num_units.values())
    return (
        f"{image.path.name} at {width}×{height}: ponder cost {image.cost:.2f}, units {units}, "
        f"{image.flops / image.plain_flops:.0%} of the plain network's FLOPs; seen as "
        f"{image.prediction}"
    )


def _record(image: PonderedImage, files) -> dict:
    return {
        "path": str(image.path),
        "input_size": list(image.input_size),
        "ponder_cost_total": image.cost,
        "ponder_cost": {name: float(m.mean()) for name, m in image.block_maps.items()},
        "num_units": image.num_units,
        "flops": image.flops,
        "flops_ratio": image.flops / image.plain_flops,
        "prediction": image.prediction,
        "maps": files[0],
        "overlay": files[1],
    }


def _write_summary(output_dir, entries, records, skipped: dict[str, str]) -> None:
    metrics = {
        "num_examples": len(records),
        "num_skipped": len(skipped),
        "images": records,
        "skipped": skipped,
    }
    if records:
        flops = [record["flops"] for record in records]
        metrics["flops_mean"] = sum(flops) / len(flops)
        metrics["flops_ratio"] = sum(record["flops_ratio"] for record in records) / len(records)
    lead = (
        f"{len(records)} images through {_MODEL.value}. Each row: the image, the total ponder cost "
        "over it and by itself, and the ponder cost of each block, with its mean; every column has "
        "one colour scale for all images."
    )
    page = ponder_map_pages.index_page("Ponder cost maps", lead, entries, list(skipped.values()))
    try:
        atomic_write_json(output_dir / "metrics.json", metrics)
        atomic_write_text(output_dir / "index.html", page)
    except OSError as error:
        raise _not_writable(output_dir, error) from None
    print(f"index: {output_dir / 'index.html'}")


if __name__ == "__main__":
    program.run(main)
