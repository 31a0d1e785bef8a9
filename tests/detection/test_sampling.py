"""The random choice of examples: shares, uniformity, independence of the batch."""

import numpy as np
import tensorflow as tf

from sact_tf.detection.geometry.sampling import image_keys, random_uniform, sample


def chosen_of(positive, negative, size, share, seed=0):
    numbers = random_uniform(tf.constant([seed], tf.uint32), tf.range(len(positive)))
    index, chosen = sample(numbers, tf.constant([positive]), tf.constant([negative]), size, share)
    assert index.shape == chosen.shape == (1, size)
    taken = index[0].numpy()[chosen[0].numpy()]
    assert len(set(taken)) == len(taken)
    return taken


def test_positives_up_to_their_share_then_negatives():
    positive, negative = np.zeros(100, bool), np.zeros(100, bool)
    positive[:30], negative[40:] = True, True
    taken = chosen_of(positive, negative, 20, 0.25)
    assert len(taken) == 20
    assert positive[taken].sum() == 5 and positive[taken[:5]].all()
    assert negative[taken].sum() == 15


def test_negatives_fill_up_and_nothing_else_does():
    positive, negative = np.zeros(100, bool), np.zeros(100, bool)
    positive[:2], negative[90:] = True, True
    taken = chosen_of(positive, negative, 20, 0.5)
    assert sorted(taken) == [0, 1, *range(90, 100)]
    assert len(chosen_of(np.zeros(9, bool), np.zeros(9, bool), 4, 0.5)) == 0


def test_fewer_candidates_than_the_sample():
    taken = chosen_of(np.array([True, False]), np.array([False, True]), 16, 0.5)
    assert sorted(taken) == [0, 1]


def test_every_candidate_has_its_turn():
    everything = np.ones(50, bool)
    counts = np.zeros(50)
    for seed in range(400):
        counts[chosen_of(~everything, everything, 10, 0.5, seed)] += 1
    assert counts.sum() == 4000
    assert 45 < counts.min() and counts.max() < 120  # 80 on average, standard deviation 8


def test_numbers_are_uniform():
    numbers = random_uniform(tf.constant([1, 2], tf.uint32), tf.range(100_000)).numpy()
    assert 0 <= numbers.min() and numbers.max() < 1
    share = np.histogram(numbers[0], bins=10, range=(0, 1))[0] / 100_000
    np.testing.assert_allclose(share, 0.1, atol=0.005)
    assert abs(np.corrcoef(numbers)[0, 1]) < 0.02
    assert abs(np.corrcoef(numbers[0, 1:], numbers[0, :-1])[0, 1]) < 0.02


def test_keys_follow_the_image_and_the_step_only():
    rng = np.random.default_rng(0)
    images = rng.normal(size=[3, 8, 9, 3]).astype("float32")
    keys = image_keys(tf.constant(images), None, 5).numpy()
    assert len(set(keys)) == 3
    assert not set(keys) & set(image_keys(tf.constant(images), None, 6).numpy())
    padded = np.full([3, 12, 11, 3], np.nan, "float32")
    padded[:, :8, :9] = images
    valid = np.zeros([3, 12, 11], bool)
    valid[:, :8, :9] = True
    padded = tf.constant(padded[::-1].copy())
    np.testing.assert_array_equal(image_keys(padded, tf.constant(valid), 5), keys[::-1])
