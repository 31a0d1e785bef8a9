"""Whether a graph is traced to be converted for another runtime (ONNX).

Converters know fewer operations, and what they make of branches cannot be relied on. Where a
function asks `is_converting()`, it computes the same numbers by plain gathers and products.

The other runtimes convolve with channels first. Rows, and all that is masked by position, have them
last: there whatever is wide stays as it is, and 1x1 convolutions are products.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

_converting = contextvars.ContextVar("converting", default=False)
_channels_last = contextvars.ContextVar("channels_last", default=False)


@contextlib.contextmanager
def converting(channels_last: bool) -> Iterator[None]:
    """Around the tracing of a graph that will be converted. Inference only: it has no gradients.

    Args:
        channels_last: whether the network's wide features are read by position.
    """
    tokens = [_converting.set(True), _channels_last.set(channels_last)]
    try:
        yield
    finally:
        for variable, token in zip((_converting, _channels_last), tokens, strict=True):
            variable.reset(token)


def is_converting() -> bool:
    """Whether the graph being traced will be converted."""
    return _converting.get()


def keeps_channels_last() -> bool:
    """Whether it will be, and has to keep wide features with the channels last."""
    return _channels_last.get()


def unless_converting(
    predicate: tf.Tensor, shortcut: Callable[[], Any], always: Callable[[], Any]
) -> Any:
    """`tf.cond(predicate, shortcut, always)`; without a branch where the graph will be converted.

    Args:
        predicate: bool scalar.
        shortcut: computes the same as `always` where the predicate is true.
        always: is right in any case.
    """
    return always() if is_converting() else tf.cond(predicate, shortcut, always)


def zeros_like(tensor: tf.Tensor) -> tf.Tensor:
    """`tf.zeros_like`; a scalar, which is broadcast, where the graph will be converted."""
    return tf.zeros([], tensor.dtype) if is_converting() else tf.zeros_like(tensor)
