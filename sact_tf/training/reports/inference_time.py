"""How long a network takes for images, beside the plain network of the same weights."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.models.compiled_network import CompiledNetwork
from sact_tf.timing import interleaved


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
    networks: Mapping[str, CompiledNetwork],
    batches: Sequence[tf.Tensor],
    turns: int,
    seconds: float | None = None,
) -> dict[str, list[float]]:
    """Times networks on the same images in turns, each turn on the next batch.

    Args:
        networks: compiled, by name.
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
