"""Batch normalizations folded into convolutions: the same numbers, the model untouched."""

import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.serving.export.folding import Shift, folded_copy
from tests.harness import padded_batch
from tests.models.networks import make_classifier


@pytest.mark.parametrize(("net", "count"), [("imagenet", 2 * 5), ("cifar", 5)])
@pytest.mark.parametrize("execution", ["masked", "tiled", "auto"])
def test_a_folded_network_computes_the_same(net, count, execution):
    model = make_classifier(net)
    before = [weight.numpy() for weight in model.weights]
    copy, folded = folded_copy(model)
    assert folded == count
    assert isinstance(copy.backbone.blocks[0].units[0].bn1, Shift)
    sact_tf.set_execution(copy, execution)
    _, batch, valid = padded_batch([(20, 24), (17, 9)], 21, 25)
    expected = model.forward(batch, valid)
    received = tf.function(copy.forward)(batch, valid)
    np.testing.assert_allclose(received["logits"], expected["logits"], atol=2e-5)
    np.testing.assert_array_equal(received["flops"], expected["flops"])
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert not isinstance(model.backbone.blocks[0].units[0].bn1, Shift)


def test_settings_of_single_blocks_stay():
    model = make_classifier()
    model.backbone.blocks[1].execution = "tiled"
    model.backbone.blocks[1].ponder_weight = 0.5
    copy, _ = folded_copy(model)
    assert [block.execution for block in copy.backbone.blocks] == ["masked", "tiled"]
    assert copy.backbone.blocks[1].get_ponder_weight() == 0.5


def test_where_rounding_would_show_nothing_is_folded():
    model = make_classifier("imagenet", dtype="mixed_bfloat16")
    copy, folded = folded_copy(model)
    assert folded == 0
    batch = np.random.default_rng(0).normal(size=[2, 20, 20, 3]).astype("float32")
    np.testing.assert_array_equal(copy(batch), model(batch))
    assert folded_copy(make_classifier("imagenet"), fold=False)[1] == 0
