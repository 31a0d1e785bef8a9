"""Rows of active positions against the maps they stand for."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.active_rows import (
    PRODUCT_IMAGES,
    count_by_image,
    find_active_rows,
    sum_by_image,
    to_map,
)
from sact_tf.ops.row_convolution import (
    convolve_rows,
    part_rows,
    regroup_rows,
    sum_neighbour_rows,
    take_rows,
)

SHAPE = (2, 5, 4)


def some_map(share=0.3, seed=0):
    return np.random.default_rng(seed).random(SHAPE) < share


def numpy_dilate(active):
    padded = np.pad(active, [(0, 0), (1, 1), (1, 1)])
    height, width = active.shape[1:]
    return np.any(
        [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0
    )


def rows_of(maps, rows):
    flat = np.reshape(maps, (-1, *maps.shape[3:]))
    return flat[rows.active_positions], flat[rows.ring_positions]


@pytest.mark.parametrize("reach", [1, 2])
def test_rows_are_the_active_positions_and_the_ring_around(reach):
    active = some_map(0.1)
    rows = find_active_rows(tf.constant(active), reach=reach)
    np.testing.assert_array_equal(rows.active_positions, np.flatnonzero(active))
    around = numpy_dilate(active)
    np.testing.assert_array_equal(rows.outer, around)
    ring = np.flatnonzero(around & ~active)
    assert rows.num_outer == active.sum() + ring.size
    if reach == 2:
        ring = np.append(ring, np.flatnonzero(numpy_dilate(around) & ~around))
    np.testing.assert_array_equal(rows.ring_positions, ring)
    np.testing.assert_array_equal(rows.images, np.nonzero(active)[0])


def test_the_ring_stays_inside_the_valid_part():
    active, valid = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    valid[0, :3, :2] = True
    active[0, 2, 1] = True
    rows = find_active_rows(tf.constant(active), tf.constant(valid), reach=2)
    everything = set(rows.active_positions.numpy()) | set(rows.ring_positions.numpy())
    assert everything == set(np.flatnonzero(valid))


def test_sums_and_maps():
    active = some_map()
    active[1] = False
    rows = find_active_rows(tf.constant(active))
    features = np.arange(active.sum() * 3, dtype=np.float32).reshape(-1, 3)
    expected = np.stack([features.sum(0), np.zeros(3)])
    np.testing.assert_allclose(sum_by_image(tf.constant(features), rows, 2), expected)
    np.testing.assert_array_equal(count_by_image(rows, 2), [[active.sum()], [0]])
    expected = np.zeros(SHAPE)
    expected[active] = features[:, 0]
    received = to_map(features[:, 0], rows.active_positions, tf.constant(SHAPE))
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("channels", [3, 128])
@pytest.mark.parametrize("batch", [3, PRODUCT_IMAGES + 4])
@pytest.mark.parametrize("images", [[0, 2], []], ids=["some", "none"])
def test_sum_by_image_and_its_gradient(images, batch, channels):
    """Images in the middle and at the end have no row; gradients from within a branch, too."""
    active = np.zeros([batch, 2, 2], bool)
    active[images] = True
    rows = find_active_rows(tf.constant(active))
    rng = np.random.default_rng(2)
    features = tf.constant(rng.normal(size=[len(rows.images), channels]))
    factor = rng.normal(size=[batch, channels])
    expected = np.zeros([batch, channels])
    np.add.at(expected, rows.images.numpy(), features.numpy())

    @tf.function
    def sums_and_gradient(features, is_taken):
        def sums():
            return sum_by_image(features, rows, tf.constant(batch))

        with tf.GradientTape() as tape:
            tape.watch(features)
            received = tf.cond(is_taken, sums, lambda: tf.zeros([batch, channels], tf.float64))
            loss = tf.reduce_sum(received * factor)
        return received, tape.gradient(loss, features)

    received, gradient = sums_and_gradient(features, tf.constant(True))
    np.testing.assert_allclose(received, expected, atol=1e-12)
    np.testing.assert_allclose(gradient, factor[rows.images.numpy()], atol=1e-12)


def on_map(active, values):
    indices = np.stack(np.nonzero(active), axis=1)
    return tf.scatter_nd(indices, values, (*active.shape, values.shape[-1]))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_convolution_and_gradient_are_those_of_the_dense_convolution(share):
    active = some_map(share)
    rows = find_active_rows(tf.constant(active))
    rng = np.random.default_rng(1)
    maps, kernel = (
        tf.constant(rng.normal(size=(*SHAPE, 3))),
        tf.constant(rng.normal(size=(3, 3, 3, 2))),
    )
    factor = tf.constant(rng.normal(size=(*SHAPE, 2)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([maps, kernel])
        flat = tf.reshape(maps, [-1, 3])
        positions = tf.concat([rows.active_positions, rows.ring_positions], axis=0)
        taken = take_rows(flat, positions)
        pieces = [taken[: rows.num_active], taken[rows.num_active :]]
        received = convolve_rows(pieces, kernel, rows.neighbours, rows.num_active)
        received = received * tf.boolean_mask(factor, active)
        dense = tf.nn.conv2d(maps, kernel, 1, "SAME") * factor
        expected = tf.boolean_mask(dense, active)
    np.testing.assert_allclose(received, expected, atol=1e-12)
    for source in (maps, kernel):
        expected_gradient = tf.convert_to_tensor(tape.gradient(expected, source))
        np.testing.assert_allclose(tape.gradient(received, source), expected_gradient, atol=1e-12)


def test_neighbour_sum_and_gradient():
    active = some_map(0.4)
    rows = find_active_rows(tf.constant(active))
    products = tf.constant(np.random.default_rng(2).normal(size=(*SHAPE, 9)))
    selection = tf.reshape(tf.eye(9, dtype=tf.float64), [3, 3, 9, 1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(products)
        flat = tf.reshape(products, [-1, 9])
        pieces = [tf.gather(flat, rows.active_positions), tf.gather(flat, rows.ring_positions)]
        received = sum_neighbour_rows(pieces, rows.neighbours, rows.num_active) ** 2
        dense = tf.nn.conv2d(products, selection, 1, "SAME")[..., 0]
        expected = tf.boolean_mask(dense, active) ** 2
    np.testing.assert_allclose(received, expected)
    np.testing.assert_allclose(
        tf.convert_to_tensor(tape.gradient(received, products)),
        tape.gradient(expected, products),
        atol=1e-12,
    )


@pytest.mark.parametrize("in_branch", [False, True])
def test_rows_in_new_groups_and_their_gradient(in_branch):
    kept, entering = tf.constant([0, 2]), tf.constant([5, 2])
    numbers = [tf.constant([1, 4, 2]), tf.constant([0, 3])]
    active = tf.constant([[1.0, 2], [3, 4], [5, 6]], tf.float64)
    ring = tf.constant([[7.0, 8], [9, 10]], tf.float64)
    factor = tf.constant([[1.0, 10], [100, 1000], [2, 20], [3, 30]], tf.float64)

    @tf.function
    def run(active, ring, kept, entering, numbers, choice):
        with tf.GradientTape() as tape:
            tape.watch([active, ring])
            regroup = functools.partial(regroup_rows, active, ring, kept, entering, numbers)

            def negative():
                return tuple(-group for group in regroup())

            groups = tf.cond(choice, regroup, negative) if in_branch else regroup()
            total = tf.reduce_sum(tf.concat(groups, axis=0) * factor)
        return groups, tape.gradient(total, [active, ring])

    groups, gradients = run(active, ring, kept, entering, numbers, tf.constant(True))
    np.testing.assert_array_equal(groups[0], [[1, 2], [5, 6]])
    np.testing.assert_array_equal(groups[1], [[9, 10], [3, 4]])
    np.testing.assert_array_equal(gradients[0], [[1, 10], [3, 30], [100, 1000]])
    np.testing.assert_array_equal(gradients[1], [[0, 0], [2, 20]])


@pytest.mark.parametrize("index", [[0, 2], [0, 1, 2], []])
def test_rows_parted_in_two_and_their_gradient(index):
    features = tf.constant([[1.0, 2], [3, 4], [5, 6]])
    others = [number for number in range(3) if number not in index]

    @tf.function
    def run(features, *indices):
        with tf.GradientTape() as tape:
            tape.watch(features)
            kept, gone = part_rows(features, *indices)
            total = tf.reduce_sum(kept**2) + tf.reduce_sum(gone**3)
        return kept, gone, tape.gradient(total, features)

    kept, gone, gradient = run(
        features, tf.constant(index, tf.int32), tf.constant(others, tf.int32)
    )
    np.testing.assert_array_equal(kept, features.numpy()[index])
    np.testing.assert_array_equal(gone, features.numpy()[others])
    expected = 3 * features.numpy() ** 2
    expected[index] = 2 * features.numpy()[index]
    np.testing.assert_array_equal(gradient, expected)


def test_regrouping_where_none_halted_hands_gradients_through():
    active, ring = tf.constant([[1.0], [2.0]]), tf.constant([[3.0]])

    @tf.function
    def run(active, ring):
        with tf.GradientTape() as tape:
            tape.watch([active, ring])
            numbers = [tf.constant([1, 2]), tf.constant([3])]
            groups = regroup_rows(active, ring, tf.constant([0, 1]), tf.constant([3]), numbers)
            total = tf.reduce_sum(groups[0] ** 2) + tf.reduce_sum(groups[1] ** 3)
        return *groups, *tape.gradient(total, [active, ring])

    for received, expected in zip(run(active, ring), ([1, 2], [3], [2, 4], [27]), strict=True):
        np.testing.assert_array_equal(received[:, 0], expected)


def test_rows_of_known_positions_keep_their_order():
    active = some_map()
    positions = np.flatnonzero(active)[::-1].astype(np.int32)
    rows = find_active_rows(tf.constant(active), active_positions=tf.constant(positions))
    everything = np.append(positions, rows.ring_positions)
    np.testing.assert_array_equal(rows.row_numbers.numpy()[everything] - 1, range(everything.size))
    expected = find_active_rows(tf.constant(active))
    np.testing.assert_array_equal(rows.ring_positions, expected.ring_positions)


def test_all_rows_may_be_dropped():
    none = tf.zeros([0], tf.int32)
    numbers = [tf.zeros([2], tf.int32), none]
    active, ring = regroup_rows(tf.ones([2, 3]), tf.ones([0, 3]), none, none, numbers)
    assert active.shape == ring.shape == (0, 3)


def test_gradients_inside_nested_branches():
    """Index tensors from further out than the branch that uses them."""

    @tf.function
    def gradient(features, index, choice):
        index = index + choice - 2
        with tf.GradientTape() as tape:
            tape.watch(features)
            taken = tf.cond(
                choice > 0,
                lambda: tf.cond(
                    choice > 1, lambda: take_rows(features, index), lambda: features[:2]
                ),
                lambda: features[1:],
            )
            total = tf.reduce_sum(taken**2)
        return tape.gradient(total, features)

    features, index = tf.constant([[1.0], [2.0], [3.0]]), tf.constant([2, 0])
    for choice, expected in enumerate([[0, 4, 6], [2, 4, 0], [2, 0, 6]]):
        received = gradient(features, index, tf.constant(choice))
        np.testing.assert_array_equal(received[:, 0], expected)
