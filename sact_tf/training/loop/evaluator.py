"""The evaluation loop of all programs, on any number of replicas."""

import abc
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orbit
import tensorflow as tf

_logger = logging.getLogger(__name__)


class Evaluator(orbit.StandardEvaluator, abc.ABC):
    """Evaluates a finite data set; the replicas of a machine share its batches.

    Each process evaluates the whole set, so that nothing has to be gathered and all know the
    result. Made inside the scope of a `tf.distribute.Strategy`.

    Args:
        dataset: finite batches, a dict of tensors each.

    Attributes:
        unit_usage: after an evaluation, per block the share of positions at which unit 1, 2, ...
            was computed.
    """

    def __init__(self, dataset: tf.data.Dataset):
        self.unit_usage: dict[str, list[float]] = {}
        self._strategy = tf.distribute.get_strategy()
        super().__init__(self._strategy.distribute_datasets_from_function(lambda _: dataset))

    @abc.abstractmethod
    def eval_begin(self) -> Any:
        """Returns the state that `collect` is first given."""

    @abc.abstractmethod
    def evaluate_batch(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Runs the model on a batch, which may be empty; traced.

        Returns:
            Tensors by name, one row per example each.
        """

    @abc.abstractmethod
    def collect(self, state: Any, arrays: dict[str, np.ndarray]) -> Any:
        """Takes in what `evaluate_batch` returned, batch after batch in their order.

        Returns:
            The new state.
        """

    @abc.abstractmethod
    def eval_end(self, state: Any) -> dict[str, float]:
        """Returns the numbers for `metrics.json` and TensorBoard, in one flat dict."""

    @abc.abstractmethod
    def kept_images(self) -> list[np.ndarray]:
        """Some images of the last evaluation, spread over all, float32 [H, W, C] each."""

    @tf.autograph.experimental.do_not_convert
    def eval_step(self, iterator: Iterator[Any]) -> Any:
        return self._strategy.run(self.evaluate_batch, (next(iterator),))

    def eval_reduce(self, state: Any, step_outputs: Mapping[str, Any]) -> Any:
        local = {
            name: self._strategy.experimental_local_results(value)
            for name, value in step_outputs.items()
        }
        for values in zip(*local.values(), strict=True):
            arrays = {name: value.numpy() for name, value in zip(local, values, strict=True)}
            if len(next(iter(arrays.values()))):
                state = self.collect(state, arrays)
        return state


@contextlib.contextmanager
def pictures_for_tensorboard() -> Iterator[None]:
    """Around the drawing of pictures at the end of an evaluation, whose numbers count more.

    What cannot be drawn is said and left out.
    """
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        _logger.warning("TensorBoard lacks pictures of this evaluation: %s", reason)


def joined(batches: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of all batches, one after the other, by name."""
    if not batches:
        raise ValueError("Expected at least one held-out image, the data set gave none")
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Groups by name: `{"num_units/block1": 2.1}` -> `{"num_units": {"block1": 2.1}}`."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        group, slash, key = name.partition("/")
        if slash:
            result.setdefault(group, {})[key] = value
        else:
            result[group] = value
    return result
