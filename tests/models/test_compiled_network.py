"""Networks compiled for inference, and the plain network inside an adaptive one."""

import numpy as np
import pytest

from sact_tf.detection import FasterRCNN
from sact_tf.models import set_execution
from sact_tf.models.compiled_network import PLAIN, CompiledNetwork, compile_executions
from sact_tf.models.plain_network import plain_network
from tests.models.networks import NAMES, images, make_backbone, make_classifier


def never_halting(model):
    """Sets the scores of all halting branches to nothing."""
    for block in model.backbone.blocks:
        for score in block.halting_scores:
            for weight in score.weights:
                weight.assign(np.zeros(weight.shape))
            bias = next(weight for weight in score.weights if weight.path.endswith("bias"))
            bias.assign(np.full(bias.shape, -60.0))
    return model


@pytest.mark.parametrize("net", NAMES)
@pytest.mark.parametrize("halting", ["act", "sact", None])
def test_the_plain_network_computes_what_an_adaptive_one_does_that_never_halts(net, halting):
    model = make_classifier(net, halting)
    plain = plain_network(model)
    assert plain.halting_kind is None
    if halting is not None:
        assert np.abs(plain(images()) - model(images())).max() > 1e-3
        never_halting(model)
    np.testing.assert_allclose(plain(images()), model(images()), rtol=1e-4, atol=1e-5)


def test_tiles_and_frozen_halting_scores_have_no_place_in_a_plain_network():
    model = make_classifier(tile_size=2, frozen=["block1/halting_score_1", "stem"])
    plain = plain_network(model)
    assert plain.backbone.get_config()["tile_size"] == 1
    never_halting(model)
    np.testing.assert_allclose(plain(images()), model(images()), rtol=1e-4, atol=1e-5)


def test_the_plain_network_of_a_backbone_and_of_a_detector():
    backbone = make_backbone()
    assert plain_network(backbone).halting_kind is None
    detector = never_halting(FasterRCNN(backbone, num_classes=3, feature_block="block1"))
    plain = plain_network(detector)
    assert plain.halting_kind is None
    given, expected = (model(images()) for model in (plain, detector))
    for name in detector.answers:
        np.testing.assert_allclose(given[name], expected[name], rtol=1e-3, atol=1e-3)


def test_every_execution_is_compiled_and_the_model_stays_as_it_is():
    model = make_classifier()
    networks = compile_executions(model, [images()])
    assert list(networks) == [PLAIN, "masked", "tiled", "auto"]
    expected = {"plain": plain_network(model)(images())}
    for name, network in networks.items():
        answers = network(images())
        assert list(answers) == ["logits"]
        wanted = expected.get(name, model(images()))
        np.testing.assert_allclose(answers["logits"], wanted, rtol=1e-4, atol=1e-5)
    assert {block.execution for block in model.backbone.blocks} == {"masked"}


def test_each_execution_is_traced_as_what_it_is_called(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "sact_tf.models.compiled_network.CompiledNetwork",
        lambda model, batches: seen.append(model.backbone.blocks[0].execution),
    )
    compile_executions(make_classifier(), [images()], ["tiled", "auto"])
    assert seen == ["masked", "tiled", "auto"]  # the first one is plain


def test_a_plain_model_has_no_executions():
    assert list(compile_executions(make_classifier(halting=None), [images()])) == ["plain"]


def test_axes_in_which_batches_differ_are_free():
    model = set_execution(make_classifier(), "tiled")
    network = CompiledNetwork(model, [images(1), images(3)])
    for number in (1, 2, 3):
        batch = images(number)
        np.testing.assert_allclose(network(batch)["logits"], model(batch), rtol=1e-4, atol=1e-5)
    with pytest.raises((TypeError, ValueError)):
        network(images(1, height=20))
