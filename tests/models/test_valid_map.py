"""An image gives the same result alone and inside a padded batch."""

import numpy as np
import pytest
import tensorflow as tf

from tests.harness import padded_batch
from tests.models.networks import ALL_NAMES, NAMES, make_classifier

SIZES = [(17, 22), (24, 31), (9, 9), (1, 1), (32, 7), (30, 32)]
KINDS = [(None, 1), ("act", 1), ("sact", 1), ("sact", 2)]


@pytest.mark.parametrize(
    "halting, tile_size, fill", [*((*kind, np.nan) for kind in KINDS), ("sact", 2, 50.0)]
)
@pytest.mark.parametrize("net", ALL_NAMES)
def test_inference(net, halting, tile_size, fill):
    model = make_classifier(net, halting, tile_size=tile_size, dtype="float64")
    alone, batch, valid = padded_batch(SIZES, 32, 32, fill=fill, dtype="float64")
    together = model.forward(batch, valid=valid)
    logits = model(batch, valid=tf.constant(valid))
    np.testing.assert_allclose(logits, together["logits"], atol=1e-12)
    losses = []
    for index, image in enumerate(alone):
        expected = model.forward(image[None])
        np.testing.assert_allclose(together["logits"][index], expected["logits"][0], atol=1e-9)
        assert int(together["flops"][index]) == int(expected["flops"][0])
        losses.append(float(expected["ponder_loss"]))
        for name, features in expected["features"].items():
            rows, columns = features.shape[1:3]
            padded = together["features"][name][index].numpy()
            np.testing.assert_allclose(padded[:rows, :columns], features[0], atol=1e-9)
            assert not np.any(padded[rows:]) and not np.any(padded[:, columns:])
            for key in ("num_units", "ponder_cost", "halting_distribution"):
                halts = expected["halting"][name][key]
                rows, columns = halts.shape[1:3]
                np.testing.assert_allclose(
                    together["halting"][name][key][index, :rows, :columns], halts[0], atol=1e-9
                )
    np.testing.assert_allclose(together["ponder_loss"], np.mean(losses), rtol=1e-6)


@pytest.mark.parametrize("halting, tile_size", KINDS)
@pytest.mark.parametrize("net", ALL_NAMES)
def test_training(net, halting, tile_size):
    """Images of one size, padded with NaN: loss, gradients and moving statistics stay the same."""
    alone, batch, valid = padded_batch([(17, 22)] * 3, 24, 25, dtype="float64")
    results = []
    for inputs, chosen in ((np.stack(alone), None), (batch, tf.constant(valid))):
        model = make_classifier(net, halting, tile_size=tile_size, dtype="float64")
        with tf.GradientTape() as tape:
            outputs = model.forward(inputs, valid=chosen, training=True)
            loss = tf.reduce_sum(outputs["logits"] ** 2) + tf.cast(
                outputs["ponder_loss"], tf.float64
            )
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        results.append(
            (
                outputs,
                loss,
                dict(zip([v.path for v in variables], gradients, strict=True)),
                {v.path: v.numpy() for v in model.non_trainable_variables},
            )
        )
    (plain, loss, gradients, moving), (padded, padded_loss, padded_gradients, padded_moving) = (
        results
    )
    np.testing.assert_allclose(padded["logits"], plain["logits"], atol=1e-9)
    np.testing.assert_allclose(padded_loss, loss, rtol=1e-9)
    np.testing.assert_array_equal(padded["flops"], plain["flops"])
    for path, gradient in gradients.items():
        assert (gradient is None) == (padded_gradients[path] is None)
        if gradient is not None:
            scale = max(1.0, np.max(np.abs(gradient)))
            np.testing.assert_allclose(padded_gradients[path], gradient, atol=1e-7 * scale)
    for path, value in moving.items():
        np.testing.assert_allclose(padded_moving[path], value, atol=1e-9)


def test_everything_valid_is_no_map():
    model = make_classifier("cifar", dtype="float64")
    _, batch, valid = padded_batch([(16, 18)] * 2, 16, 18, dtype="float64")
    for training in (False, True):
        plain = model.forward(batch, training=training)
        mapped = model.forward(batch, valid=valid, training=training)
        np.testing.assert_allclose(mapped["logits"], plain["logits"], atol=1e-9)
        np.testing.assert_array_equal(mapped["flops"], plain["flops"])


@pytest.mark.parametrize("net", NAMES)
def test_ponder_maps_of_padded_images(net):
    """The drawn map of an image is the same alone and padded, and zero outside."""
    model = make_classifier(net)
    alone, batch, valid = padded_batch([(17, 22), (32, 9)], 32, 24)
    maps = model.ponder(batch, valid=tf.constant(valid))["ponder_cost_map"].numpy()
    assert maps.shape == (2, 32, 24)
    assert not np.any(maps[~valid])
    for index, image in enumerate(alone):
        expected = model.ponder(image[None])["ponder_cost_map"][0]
        rows, columns = expected.shape
        np.testing.assert_allclose(maps[index, :rows, :columns], expected, rtol=1e-5)
