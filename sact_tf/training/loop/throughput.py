"""How fast training is, and how much of its time it waits for data."""

import contextlib
import time
from collections.abc import Iterator

import tensorflow as tf

RATES = ("steps_per_second", "examples_per_second", "input_wait_share")


class Throughput(tf.Module):
    """Counts time and steps, over stops and restarts.

    The first step of a process is left out of the rates: TensorFlow traces and compiles in it.

    Args:
        batch_size: examples per step.
    """

    def __init__(self, batch_size: int):
        super().__init__(name="throughput")
        self._batch_size = batch_size
        self._train_seconds = _counter("train_seconds")
        self._timed_seconds = _counter("timed_seconds")
        self._timed_steps = _counter("timed_steps")
        self._waited_seconds = _counter("waited_seconds")
        self._is_first = True
        self.begin()

    def begin(self) -> None:
        """Starts a log interval."""
        self._steps, self._waited, self._first_waited = 0, 0.0, 0.0
        self._start = self._first_end = time.monotonic()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The body gets the data of a step."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    def count_step(self) -> None:
        """A step is done."""
        self._steps += 1
        if self._is_first and self._steps == 1:
            self._first_end, self._first_waited = time.monotonic(), self._waited

    def end(self) -> dict[str, float]:
        """Ends a log interval.

        Returns:
            `steps_per_second`, `examples_per_second`, and `input_wait_share`: the share of the time
            in which training waited for the next batch.
        """
        end = time.monotonic()
        self._train_seconds.assign_add(end - self._start)
        steps, seconds, waited = self._steps, end - self._start, self._waited
        if self._is_first and steps > 1:
            steps -= 1
            seconds, waited = end - self._first_end, waited - self._first_waited
        if not self._is_first or self._steps > 1:
            self._timed_steps.assign_add(steps)
            self._timed_seconds.assign_add(seconds)
            self._waited_seconds.assign_add(waited)
        self._is_first = False
        return self._rates(steps, seconds, waited)

    def totals(self) -> dict[str, float]:
        """`train_seconds` with all steps in them, and the rates of the whole run, for metrics.json.

        The rates are those of `end`; none if there has been one step per process only.
        """
        result = {"train_seconds": round(float(self._train_seconds.numpy()), 3)}
        counters = (self._timed_steps, self._timed_seconds, self._waited_seconds)
        steps, seconds, waited = (float(counter.numpy()) for counter in counters)
        if steps:
            rates = self._rates(steps, seconds, waited)
            result |= {name: round(value, 4) for name, value in rates.items()}
        return result

    def _rates(self, steps: float, seconds: float, waited: float) -> dict[str, float]:
        seconds = max(seconds, 1e-9)
        rates = (steps / seconds, steps * self._batch_size / seconds, waited / seconds)
        return dict(zip(RATES, rates, strict=True))


def _counter(name: str) -> tf.Variable:
    return tf.Variable(0.0, dtype=tf.float64, trainable=False, name=name)
