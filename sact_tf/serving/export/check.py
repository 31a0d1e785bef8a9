"""Compares what was exported with the model in memory, before anybody can read the export."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sact_tf.images.decoding import decode_image

# A position whose halting score lies within rounding of the threshold may run a unit more or less.
_FLIPPED = 0.01
_TOLERANCE, _TOLERANCE_FLIPPED, _TOLERANCE_LOW_PRECISION = 1e-3, 0.02, 0.1
_SIZES = ((67, 90), (96, 64), (50, 80))
# A camera that was held upright: turned by a quarter (`sact_tf.images.orientation`).
_TURNED = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"


def check_export(
    path: pathlib.Path, expect: Callable[[tf.Tensor], Mapping[str, Any]], compute_dtype: str
) -> float:
    """Runs a SavedModel's `ponder_map` on pictures of different sizes and kinds in one request.

    Args:
        path: the SavedModel.
        expect: function of one picture, uint8 [h, w, 3], that gives what the model in memory makes
            of it alone: a dict of tensors without a batch axis, by the names of the signature.
            Maps are compared where the picture is.
        compute_dtype: of the model.

    Returns:
        The largest difference of any output, as a share of that output's largest magnitude.

    Raises:
        RuntimeError: the outputs differ by more than rounding explains; names the output.
    """
    files = _files(*(_picture(size, seed) for seed, size in enumerate(_SIZES)))
    encoded = tf.constant(files)
    signature = tf.saved_model.load(str(path)).signatures["ponder_map"]
    received = {name: value.numpy() for name, value in signature(image_bytes=encoded).items()}
    worst = 0.0
    for index, file in enumerate(files):
        picture = tf.constant(decode_image(file, "the picture of the check"))
        expected = {name: np.asarray(value) for name, value in expect(picture).items()}
        ours = {name: _cut(received[name][index], expected[name]) for name in expected}
        worst = max(worst, compare(ours, expected, compute_dtype))
    return worst


def check_onnx(
    path: pathlib.Path,
    expect: Callable[[np.ndarray], Mapping[str, Any]],
    compute_dtype: str,
    image_size: Sequence[int | None],
) -> float:
    """Runs an ONNX file on pictures of different sizes, one and two at once.

    Args:
        path: the file.
        expect: function of pictures, float32 [B, h, w, 3] from 0 to 255, that gives what the model
            in memory makes of them: a dict of tensors by the names of the outputs.
        compute_dtype: of the model.
        image_size: height and width that the file takes, None where they are free.

    Returns, Raises: see `check_export`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    worst = 0.0
    for number, size in enumerate(_SIZES[:2], start=1):
        shape = [given or own for given, own in zip(image_size, size, strict=True)]
        pictures = np.stack([_picture(shape, seed) for seed in range(number)]).astype(np.float32)
        received = dict(zip(names, session.run(None, {"images": pictures}), strict=True))
        expected = {name: np.asarray(value) for name, value in expect(pictures).items()}
        for index in range(number):
            ours, theirs = ({n: v[index] for n, v in d.items()} for d in (received, expected))
            worst = max(worst, compare(ours, theirs, compute_dtype))
    return worst


def compare(
    received: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], compute_dtype: str
) -> float:
    """Compares one image's outputs; see `check_export`."""
    units = [name for name in expected if name.endswith("_num_units")]
    flipped = [np.mean(received[name] != expected[name]) for name in units] or [0.0]
    low_precision = compute_dtype not in ("float32", "float64")
    if low_precision:
        tolerance = _TOLERANCE_LOW_PRECISION
    else:
        tolerance = _TOLERANCE_FLIPPED if max(flipped) > 0 else _TOLERANCE
    worst = 0.0
    for name, value in expected.items():
        ours = received[name].astype(np.float64)
        value = value.astype(np.float64)
        if name in units or name.endswith("ponder_cost") or name == "ponder_cost_map":
            far = np.abs(ours - value) > tolerance * max(1.0, np.abs(value).max(initial=0))
            limit = tolerance if low_precision else _FLIPPED
            if np.mean(far) > limit:
                raise RuntimeError(_message(name, f"{np.mean(far):.1%} of the positions"))
            continue
        scale = np.abs(value).max(initial=0) or 1.0
        difference = float(np.abs(ours - value).max(initial=0) / scale)
        if not difference <= tolerance:
            raise RuntimeError(_message(name, f"{difference:.2g} of the largest value"))
        worst = max(worst, difference)
    return worst


def _message(name, by):
    return f"the exported model differs from the one in memory: {name} by {by}; nothing is written"


def _cut(value, like):
    """The part of a padded map that belongs to the image."""
    return value[tuple(slice(size) for size in like.shape)]


def _files(plain, turned, transparent):
    """A plain PNG, a JPEG that a camera has marked as turned, and a transparent PNG."""
    jpeg = tf.io.encode_jpeg(turned, quality=95).numpy()
    segment = b"\xff\xe1" + (len(_TURNED) + 2).to_bytes(2, "big") + _TURNED
    rgba = tf.concat([transparent, transparent[..., :1]], axis=2)
    return [
        tf.io.encode_png(plain).numpy(),
        jpeg[:2] + segment + jpeg[2:],
        tf.io.encode_png(rgba).numpy(),
    ]


def _picture(size, seed):
    """Smooth colours with some noise: neither flat nor all edges."""
    rng = np.random.default_rng(seed)
    rows, columns = (np.linspace(0, 6, side)[:, None] for side in size)
    waves = np.sin(rows + rng.uniform(size=3))[:, None] * np.cos(columns * rng.uniform(1, 3, 3))
    noise = rng.normal(0, 0.2, [*size, 3])
    return tf.constant(np.clip(128 + 100 * waves + 60 * noise, 0, 255).astype(np.uint8))
