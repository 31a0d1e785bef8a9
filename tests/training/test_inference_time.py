"""Batches of held-out images, and turns on them."""

import numpy as np
import pytest

from sact_tf.errors import UserError
from sact_tf.training.reports.inference_time import image_batches, time_networks


def numbered(count, size=2):
    return [np.full([size, size, 3], number, np.float32) for number in range(count)]


def numbers_in(batches):
    return [batch.numpy()[:, 0, 0, 0].tolist() for batch in batches]


def test_batches_are_taken_evenly_from_all_images():
    assert numbers_in(image_batches(numbered(9), 1, 3)) == [[0], [4], [8]]
    assert numbers_in(image_batches(numbered(7), 2, 2)) == [[0, 2], [4, 6]]
    assert numbers_in(image_batches(numbered(5), 2, 99)) == [[0, 1], [3, 4]]


def test_too_few_images_and_images_of_two_sizes_are_refused():
    with pytest.raises(UserError, match="there are only 3 images"):
        image_batches(numbered(3), 4, 1)
    mixed = numbered(2) + numbered(2, size=4)
    with pytest.raises(UserError, match="differ in size"):
        image_batches(mixed, 2, 1)
    assert [batch.shape[1] for batch in image_batches(mixed, 1, 4)] == [2, 2, 4, 4]


def test_all_networks_meet_the_same_images_in_a_turn():
    seen = {"one": [], "other": []}
    networks = {
        name: lambda images, name=name: seen[name].append(int(images[0, 0, 0, 0])) for name in seen
    }
    batches = image_batches(numbered(6), 2, 3)
    times = time_networks(networks, batches, turns=4)
    assert seen["one"] == seen["other"] and set(seen["one"]) == {0, 2, 4}
    assert [len(values) for values in times.values()] == [4, 4]


def test_times_are_per_image(monkeypatch):
    monkeypatch.setattr(
        "sact_tf.training.reports.inference_time.interleaved",
        lambda functions, turns, seconds: {name: [12.0, 6.0] for name in functions},
    )
    batches = image_batches(numbered(3), 3, 1)
    assert time_networks({"one": print}, batches, turns=2) == {"one": [4.0, 2.0]}
