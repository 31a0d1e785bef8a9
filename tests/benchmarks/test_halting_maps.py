"""Scripted halting: a network does what the maps say, and spends what they were said to cost."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import halting_maps
from sact_tf.errors import UserError
from tests.models.networks import ALL_NAMES, images, make_classifier

SIZE = (96, 80)


@pytest.mark.parametrize("net", ALL_NAMES)
def test_the_network_follows_the_maps(net):
    model = make_classifier(net)
    maps = halting_maps.blob_maps(model, *SIZE, 0.5, [1, 1], batch=2)
    halting_maps.script_halting(model, [tf.Variable(units) for units in maps])
    spent = model.ponder(images(2, *SIZE))
    for block, units in zip(model.backbone.blocks, maps, strict=True):
        used = spent[block.name]["num_units"].numpy()
        np.testing.assert_array_equal(used, units + block.entry_units - 1)
        assert (used.min(), used.max()) == (block.entry_units, len(block.units))
    ratio = halting_maps.flops_ratio(model, *SIZE, maps)
    assert ratio == np.mean(spent["flops"]) / model.plain_flops(*SIZE)


@pytest.mark.parametrize("net", ALL_NAMES)
def test_a_ratio_is_met_or_refused(net):
    model = make_classifier(net)
    _, everything = halting_maps.maps_for_ratio(model, *SIZE, None, [1, 1], batch=1)
    assert 1 < everything < 1.1  # with the halting scores
    _, ratio = halting_maps.maps_for_ratio(model, *SIZE, 0.97, [1, 1], batch=1)
    assert ratio == pytest.approx(0.97, abs=0.02)
    with pytest.raises(UserError, match="flops_ratio=0.1 cannot be reached.*entry units"):
        halting_maps.maps_for_ratio(model, *SIZE, 0.1, [1, 1], batch=1)
