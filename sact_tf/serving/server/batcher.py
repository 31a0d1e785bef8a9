"""Requests that arrive together are computed together."""

import collections
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Hashable, Mapping

import numpy as np
import tensorflow as tf

from sact_tf.serving.server.errors import RequestError, overloaded

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(eq=False, frozen=True)
class Job:
    """What one request wants computed.

    Attributes:
        signature: which to run.
        inputs: arrays with one first axis, the images.
        pixels: of all its images.
        key: jobs of one signature with equal keys may be joined.
        future: of the outputs.
    """

    signature: str
    inputs: Arrays
    pixels: int
    key: Hashable
    future: concurrent.futures.Future = dataclasses.field(default_factory=concurrent.futures.Future)

    @property
    def size(self) -> int:
        """How many images."""
        return len(next(iter(self.inputs.values())))


class Batcher:
    """One thread that computes, and the queue before it.

    While a batch is computed, others wait; what waits and may be joined is the next batch. So
    batches grow with the load, and a single client does not wait for others.

    Args:
        run: function of a signature's name and its inputs that returns its outputs, arrays with
            one first axis.
        batch_size: images computed at once.
        batch_pixels: their pixels together; a request of more is computed alone.
        pending: images that may wait.
        wait_seconds: how long a batch that is not full waits for more.
    """

    def __init__(
        self,
        run: Callable[[str, Arrays], dict[str, np.ndarray]],
        batch_size: int,
        batch_pixels: int,
        pending: int,
        wait_seconds: float = 0.0,
    ):
        self._run = run
        self._batch_size = batch_size
        self._batch_pixels = batch_pixels
        self._most_pending = pending
        self._wait = wait_seconds
        self._jobs: collections.deque[Job] = collections.deque()
        self._pending = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> concurrent.futures.Future:
        """Queues a job and returns its future.

        Raises:
            RequestError: 503, too much waits already or the server ends.
        """
        with self._changed:
            if self._closed or self._pending + job.size > self._most_pending:
                raise overloaded()
            self._jobs.append(job)
            self._pending += job.size
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Takes nothing more, computes what waits, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self):
        while batch := self._next_batch():
            batch = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if batch:
                self._compute(batch)

    def _next_batch(self):
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return []
            deadline = time.monotonic() + self._wait
            while not self._closed and self._joinable()[1] < self._batch_size:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    break
            batch, size = self._joinable()
            for job in batch:
                self._jobs.remove(job)
            self._pending -= size
            return batch

    def _joinable(self):
        """The oldest request with those that may join it, and how many images that is."""
        first, *others = self._jobs
        batch, size, pixels = [first], first.size, first.pixels
        for job in others:
            alike = (job.signature, job.key) == (first.signature, first.key)
            fits = size + job.size <= self._batch_size
            if alike and fits and pixels + job.pixels <= self._batch_pixels:
                batch.append(job)
                size += job.size
                pixels += job.pixels
        return batch, size

    def _compute(self, batch):
        names = batch[0].inputs
        joined = {name: np.concatenate([job.inputs[name] for job in batch]) for name in names}
        try:
            outputs = self._run(batch[0].signature, joined)
        except (RequestError, tf.errors.InvalidArgumentError) as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            # One of them is damaged; the others shall not suffer.
            for job in batch:
                self._compute([job])
        except Exception as error:
            for job in batch:
                job.future.set_exception(error)
        else:
            start = 0
            for job in batch:
                part = {name: value[start : start + job.size] for name, value in outputs.items()}
                job.future.set_result(part)
                start += job.size
