"""What is computed together, and what a request that fails or goes away does to others."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.serving.server.batcher import Batcher, Job
from sact_tf.serving.server.errors import RequestError


class Runs:
    """Computes x -> 2 x; the first run waits until `go` is set, so that others queue up."""

    def __init__(self):
        self.batches, self.go, self.started = [], threading.Event(), threading.Event()

    def __call__(self, signature, inputs):
        self.batches.append((signature, inputs["x"].tolist()))
        self.started.set()
        assert self.go.wait(60)
        if np.any(inputs["x"] < 0):
            raise tf.errors.InvalidArgumentError(None, None, "negative")
        if np.any(inputs["x"] == 99):
            raise ValueError("a bug")
        return {"y": 2 * inputs["x"]}


def _submit(batcher, *values, key="k", pixels=1, signature="s"):
    return batcher.submit(Job(signature, {"x": np.array(values)}, pixels, key))


@pytest.fixture
def make():
    """Makes a batcher whose first request is being computed."""
    made = []

    def make(**options):
        runs = Runs()
        options = {"batch_size": 4, "batch_pixels": 100, "pending": 20, **options}
        batcher = Batcher(runs, **options)
        made.append((batcher, runs))
        first = _submit(batcher, 0)
        assert runs.started.wait(60)
        return batcher, runs, first

    yield make
    for batcher, runs in made:
        runs.go.set()
        batcher.close()


def test_what_waits_is_joined_by_key_size_and_pixels(make):
    batcher, runs, first = make()
    futures = [
        _submit(batcher, 1),
        _submit(batcher, 2, 3),
        _submit(batcher, 4, key="other"),
        _submit(batcher, 5, 6),  # would be the fifth image
        _submit(batcher, 7, pixels=100),  # too many pixels for the first batch
        _submit(batcher, 8, signature="t"),
        _submit(batcher, 9),
    ]
    runs.go.set()
    results = [future.result(60)["y"].tolist() for future in [first, *futures]]
    assert results == [[0], [2], [4, 6], [8], [10, 12], [14], [16], [18]]
    assert runs.batches == [
        ("s", [0]),
        ("s", [1, 2, 3, 9]),
        ("s", [4]),
        ("s", [5, 6]),
        ("s", [7]),
        ("t", [8]),
    ]


def test_a_bad_request_fails_alone(make):
    batcher, runs, _ = make()
    futures = [_submit(batcher, value) for value in (1, -1, 2)]
    runs.go.set()
    assert futures[0].result(60)["y"] == [2] and futures[2].result(60)["y"] == [4]
    with pytest.raises(tf.errors.InvalidArgumentError):
        futures[1].result(60)
    with pytest.raises(ValueError, match="a bug"):
        _submit(batcher, 99).result(60)
    assert _submit(batcher, 5).result(60)["y"] == [10]


def test_more_than_may_wait_is_refused(make):
    batcher, runs, _ = make(pending=3)
    waiting = [_submit(batcher, 1, 2), _submit(batcher, 3)]
    with pytest.raises(RequestError) as raised:
        _submit(batcher, 4)
    assert raised.value.status == 503
    runs.go.set()
    assert [future.result(60)["y"].tolist() for future in waiting] == [[2, 4], [6]]
    assert _submit(batcher, 4).result(60)["y"] == [8]


def test_whoever_went_away_is_not_computed(make):
    batcher, runs, _ = make()
    gone, stays = _submit(batcher, 1), _submit(batcher, 2)
    assert gone.cancel()
    runs.go.set()
    assert stays.result(60)["y"] == [4]
    assert runs.batches[1:] == [("s", [2])]


def test_closing_answers_what_waits_and_takes_nothing_more(make):
    batcher, runs, first = make()
    waiting = _submit(batcher, 1)
    runs.go.set()
    batcher.close()
    assert first.done() and waiting.result(0)["y"] == [2]
    with pytest.raises(RequestError):
        _submit(batcher, 2)


def test_waiting_for_a_full_batch():
    runs = Runs()
    runs.go.set()
    batcher = Batcher(runs, batch_size=4, batch_pixels=100, pending=20, wait_seconds=30)
    futures = [_submit(batcher, value) for value in (1, 2, 3, 4)]
    assert [future.result(20)["y"].tolist() for future in futures] == [[2], [4], [6], [8]]
    assert runs.batches == [("s", [1, 2, 3, 4])]
    batcher.close()
