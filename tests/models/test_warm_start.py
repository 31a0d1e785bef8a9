"""Weights of another network: which are taken over, which are not, and what is said of it."""

import keras
import numpy as np
import pytest

import sact_tf
from sact_tf.errors import UserError
from sact_tf.models.class_names import matching_classes
from tests.harness import assert_same
from tests.models.networks import images, make_backbone, make_classifier


def test_plain_to_sact():
    plain, sact = make_classifier(halting=None, seed=1), make_classifier(seed=2)
    own = {v.path: v.numpy() for v in sact.variables if "halting_score" in v.path}
    uncovered = sact.warm_start(plain)
    names = [
        f"{block.name}/{score.name}"
        for block in sact.backbone.blocks
        for score in block.halting_scores
    ]
    assert uncovered == dict.fromkeys(names, "halting")
    source = {v.path: v.numpy() for v in plain.variables}
    for variable in sact.variables:
        expected = own if variable.path in own else source
        np.testing.assert_array_equal(variable.numpy(), expected[variable.path])
    sact_tf.set_ponder_weight(sact, 0.0)
    for block in sact.backbone.blocks:
        for score in block.halting_scores:
            score.local_conv.kernel.assign(score.local_conv.kernel * 0)
            score.local_conv.bias.assign([-30.0])
            score.global_conv.kernel.assign(score.global_conv.kernel * 0)
    np.testing.assert_allclose(sact(images()), plain(images()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ours, theirs", [((3, 2), (2, 3)), ((1, 1), (3, 3)), ((2, 2, 1), (2, 2))])
def test_other_depths(ours, theirs):
    target = make_backbone(units=ours, halting=None, seed=1)
    source = make_backbone(units=theirs, halting=None, seed=2)
    before = {v.path: v.numpy() for v in target.variables}
    uncovered = target.warm_start(source)
    missing = [
        f"block{b + 1}/unit_{u + 1}"
        for b, number in enumerate(ours)
        for u in range(number)
        if b >= len(theirs) or u >= theirs[b]
    ]
    assert uncovered == dict.fromkeys(missing, "the source has no such unit")
    given = {v.path: v.numpy() for v in source.variables}
    for variable in target.variables:
        kept = any(f"/{name}/" in f"/{variable.path}" for name in missing)
        expected = before if kept else given
        np.testing.assert_array_equal(variable.numpy(), expected[variable.path])


def test_other_number_of_classes():
    target, source = make_classifier(num_classes=3, seed=1), make_classifier(seed=2)
    logits = target.logits.get_weights()
    uncovered = target.warm_start(source)
    assert uncovered["head/logits"] == "5 classes there, 3 here"
    assert_same(target.logits.get_weights(), logits, 0)
    assert_same(target.postnorm.get_weights(), source.postnorm.get_weights(), 0)
    assert_same(target.backbone.stem.get_weights(), source.backbone.stem.get_weights(), 0)


def test_classes_are_matched_by_name():
    target, source = make_classifier(num_classes=3, seed=1), make_classifier(seed=2)
    target.class_names, source.class_names = ["c", "x", "a"], list("abcde")
    own = target.logits.kernel.numpy()
    uncovered = target.warm_start(source)
    assert uncovered["head/logits"] == "2 classes by name; new: x"
    ours, theirs = target.logits, source.logits
    for mine, other in ((0, 2), (2, 0)):
        assert_same(ours.kernel[..., mine], theirs.kernel[..., other], 0)
        assert_same(ours.bias[mine], theirs.bias[other], 0)
    assert_same(ours.kernel[..., 1], own[..., 1], 0)
    assert_same(target.postnorm.get_weights(), source.postnorm.get_weights(), 0)


def test_a_head_of_other_names_is_new():
    target, source = make_classifier(seed=1), make_classifier(seed=2)
    target.class_names, source.class_names = list("abcde"), list("vwxyz")
    own = target.logits.get_weights()
    uncovered = target.warm_start(source)
    assert uncovered["head/logits"] == (
        "other classes there (v, w, x, y, z) than here (a, b, c, d, e)"
    )
    assert_same(target.logits.get_weights(), own, 0)
    # Without names on one side only numbers can be compared.
    source.class_names = None
    assert "head" not in target.warm_start(source)
    assert_same(target.logits.get_weights(), source.logits.get_weights(), 0)


def test_a_name_that_stands_twice_says_nothing():
    assert matching_classes(["a", "b", "a"], ["a", "b", "a"]) == {0: 0, 1: 1, 2: 2}
    assert matching_classes(["a", "b", "a"], ["a", "b", "c"]) == {1: 1}
    assert matching_classes(["a", "b"], ["b", "a", "b"]) == {0: 1}


def test_from_a_backbone():
    target, source = make_classifier(seed=1), make_backbone(seed=2)
    assert target.warm_start(source)["head"] == "the source has none"
    assert_same(target.backbone.stem.get_weights(), source.stem.get_weights(), 0)


def test_other_width_and_dtype():
    target = make_classifier(base_channels=8, seed=1)
    before = target.get_weights()
    uncovered = target.warm_start(make_classifier(seed=2))
    for place in ("block1/unit_1", "block2/unit_3", "head"):
        assert uncovered[place] == "shapes differ"
    assert_same(target.head.get_weights(), before[-len(target.head.weights) :], 0)
    double = make_classifier(dtype="float64", seed=3)
    double.warm_start(make_classifier(seed=2))
    assert_same(double.head.get_weights(), make_classifier(seed=2).head.get_weights(), 0)


@pytest.mark.parametrize("kind", ["classifier", "backbone"])
def test_a_source_of_which_nothing_fits(kind):
    make = make_classifier if kind == "classifier" else make_backbone
    target = make(base_channels=8, stem_channels=8, seed=1)
    before = target.get_weights()
    with pytest.raises(UserError) as raised:
        target.warm_start(make(seed=2, image_shape=(None, None, 1)))
    message = str(raised.value)
    assert "nothing fits; looked for a stem 'imagenet' of 8 channels for images of 3" in message
    assert "units 2-3 from 8 channels on, found a stem" in message
    assert "(stem: shapes differ; block1/unit_1: shapes differ; " in message
    assert_same(target.get_weights(), before, 0)


def test_a_stem_alone_is_something():
    target, source = make_backbone(base_channels=8, seed=1), make_backbone(seed=2)
    assert "stem" not in target.warm_start(source)
    assert_same(target.stem.get_weights(), source.stem.get_weights(), 0)


def test_a_source_that_is_no_backbone():
    foreign = keras.Sequential([keras.layers.Dense(2)])
    foreign.backbone = make_backbone()
    with pytest.raises(ValueError, match="source to be an AdaptiveModel.*Sequential"):
        make_backbone().warm_start(foreign)
