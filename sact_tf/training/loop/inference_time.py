"""How long a network takes for images, beside the plain network of the same weights."""

import itertools
import logging
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.models.compiled_network import PLAIN, compile_executions
from sact_tf.timing import interleaved, machine, ratios

# Of each batch size: enough for a median, and next to nothing beside an evaluation.
_TURNS, _SECONDS = 30, 3.0
# A call of the plain network takes no more, or the batch is smaller.
_CALL_MILLISECONDS = 2_000
# Between the quartiles of a ratio: more is no longer one number.
_STEADY = 0.15

_logger = logging.getLogger(__name__)


def inference_time(
    model: keras.Model, images: Sequence[np.ndarray], batch_size: int
) -> dict[str, Any]:
    """How long a model takes for held-out images, for `metrics.json`.

    It is timed in every execution and beside the plain network of its weights, on the same images
    in turns. A few seconds besides tracing, but for networks of seconds per batch.

    Args:
        model: an `ImageClassifier` or a `FasterRCNN`, which stays as it is.
        images: preprocessed, float32 [H, W, C] each; at least one.
        batch_size: images at once. Less is measured where one call would take over two seconds.

    Returns:
        JSON-able dict of the `processor`, its `threads` (None for a GPU), and for `one_image` at a
        time and for a `batch` (of two or more, of images of one size) a dict: `batch_size`, the
        fastest `execution`, its `milliseconds_per_image`, `plain_milliseconds_per_image`, and
        `time_ratio`, the median over the turns, with its quartiles `time_ratio_min` and
        `time_ratio_max`. Empty if that cannot be measured, which is logged: times must not cost the
        other results.
    """
    try:
        return _measured(model, images, batch_size)
    except Exception as error:
        _logger.warning("no times: measuring them failed: %s: %s", type(error).__name__, error)
        return {}


def times_of(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The dicts of `one_image` and `batch` in `metrics.json`, as far as they are there."""
    timing = metrics.get("timing", {})
    return [timing[key] for key in ("one_image", "batch") if key in timing]


def fastest_execution(metrics: Mapping[str, Any]) -> str | None:
    """The execution that took the least time for one image; None if plain or not measured."""
    execution = metrics.get("timing", {}).get("one_image", {}).get("execution")
    return None if execution == PLAIN else execution


def at_once(times: Mapping[str, Any]) -> str:
    """How many images were computed at once, in words."""
    return "one at a time" if times["batch_size"] == 1 else f"{times['batch_size']} at once"


def beside_plain(times: Mapping[str, Any]) -> str:
    """The ratio in words; empty for a plain network, which is its own measure."""
    if times["execution"] == PLAIN:
        return ""
    plain = f"{times['plain_milliseconds_per_image']:.3g} ms"
    low, high = times["time_ratio_min"], times["time_ratio_max"]
    # The median of the turns' ratios need not be the ratio of the medians.
    varies = f" ({low:.2f} - {high:.2f}, noisy)" if high - low > _STEADY else ""
    ratio = f"{times['time_ratio']:.2f}{varies}"
    return f"{ratio} of the plain network's {plain}, {times['execution']}, "


def _measured(model, images, batch_size):
    single = image_batches(images, 1, _TURNS)
    # The second one leaves the number of images free.
    networks = compile_executions(model, [*single, np.zeros([2, *images[0].shape], np.float32)])
    one = _fastest(networks, single)
    times = {**_processor(), "one_image": one}
    if len({image.shape for image in images}) == 1:
        affordable = int(_CALL_MILLISECONDS / one["plain_milliseconds_per_image"])
        size = min(batch_size, affordable)
        if size > 1:
            enough = list(images) * math.ceil(size / len(images))
            times["batch"] = _fastest(networks, image_batches(enough, size, _TURNS))
    return times


def _fastest(networks, batches):
    """The fastest execution beside the plain network."""
    times = time_networks(networks, batches, _TURNS, _SECONDS)
    names = [name for name in networks if name != PLAIN] or [PLAIN]
    best = min(names, key=lambda name: statistics.median(times[name]))
    found = ratios(times[best], times[PLAIN])
    return {
        "batch_size": len(batches[0]),
        "execution": best,
        "milliseconds_per_image": found["milliseconds"],
        "plain_milliseconds_per_image": statistics.median(times[PLAIN]),
        **{key: found[key] for key in ("time_ratio", "time_ratio_min", "time_ratio_max")},
    }


def _processor():
    """What TensorFlow computes on."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return {"processor": details.get("device_name", "GPU"), "threads": None}
    about = machine()
    return {"processor": about["processor"], "threads": about["threads"]}


def image_batches(images: Sequence[np.ndarray], batch_size: int, count: int) -> list[tf.Tensor]:
    """Batches of images taken evenly from a list.

    Args:
        images: preprocessed, float32 [H, W, C] each.
        batch_size: images of a batch.
        count: batches wanted; fewer where there are not so many images.

    Returns:
        At least one batch, float32 [batch_size, H, W, C].

    Raises:
        UserError: there are fewer images than a batch has, or they differ in size.
    """
    count = min(count, len(images) // batch_size)
    if not count:
        raise UserError(f"{batch_size} images at once: there are only {len(images)} images")
    chosen = np.linspace(0, len(images) - 1, count * batch_size).round().astype(int)
    batches = []
    for indices in chosen.reshape(count, batch_size):
        batch = [images[index] for index in indices]
        if len({image.shape for image in batch}) > 1:
            raise UserError(
                f"{batch_size} images at once: these differ in size, so only one at a time can be "
                "measured"
            )
        batches.append(tf.constant(np.stack(batch), tf.float32))
    return batches


def time_networks(
    networks: Mapping[str, Callable[[tf.Tensor], Any]],
    batches: Sequence[tf.Tensor],
    turns: int,
    seconds: float | None = None,
) -> dict[str, list[float]]:
    """Times networks on the same images in turns, each turn on the next batch.

    Args:
        networks: functions of a batch, by name, that return when all is computed.
        batches: of one size.
        turns, seconds: see `sact_tf.timing.interleaved`.

    Returns:
        Dict by name of the milliseconds per image of each turn.
    """

    def on_next_batch(network):
        following = itertools.cycle(batches)
        return lambda: network(next(following))

    functions = {name: on_next_batch(network) for name, network in networks.items()}
    size = len(batches[0])
    times = interleaved(functions, turns, seconds=seconds)
    return {name: [each / size for each in values] for name, values in times.items()}
