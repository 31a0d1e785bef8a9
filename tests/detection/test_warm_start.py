"""Detectors that start from other models."""

import keras
import numpy as np
import pytest

from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier, ResNetBackbone
from tests.harness import assert_same, randomize


class TestWarmStart:
    def test_from_a_classifier(self, make_detector):
        source = ResNetBackbone((2, 2, 2), base_channels=4, stem_channels=4, unit="basic")
        source = randomize(ImageClassifier(source, 7), seed=3)
        detector = make_detector(random=False)
        uncovered = detector.warm_start(source)
        np.testing.assert_array_equal(
            detector.extractor[1].units[1].conv1.kernel,
            source.backbone.blocks[1].units[1].conv1.kernel,
        )
        np.testing.assert_array_equal(
            detector.box_block.units[1].conv2.kernel,
            source.backbone.blocks[2].units[1].conv2.kernel,
        )
        first = source.backbone.blocks[2].units[0].preact
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            ours, theirs = detector.rpn.preact, first
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            ours, theirs = detector.box_head.postnorm, source.postnorm
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        heads = ("rpn/conv", "rpn/scores", "rpn/boxes", "box_head/scores", "box_head/boxes")
        halting = ("block1/halting_score_1", "block2/halting_score_1")
        assert uncovered == {
            **dict.fromkeys(halting, "halting"),
            **dict.fromkeys(heads, "the source has none"),
        }

    def test_halting_scores_come_from_the_same_kind_of_halting(self, make_detector):
        source = ResNetBackbone(
            (2, 2, 2), base_channels=4, stem_channels=4, unit="basic", halting="sact"
        )
        randomize(source, seed=3)
        for halting in ("sact", "act"):
            detector = make_detector(halting, random=False)
            uncovered = detector.warm_start(source)
            ours, theirs = (net.blocks[1].halting_scores[0] for net in (detector.backbone, source))
            same = [v.shape for v in ours.weights] == [v.shape for v in theirs.weights] and all(
                np.array_equal(a, b) for a, b in zip(ours.weights, theirs.weights, strict=True)
            )
            assert same == (halting == "sact")
            assert ("halting" in uncovered.values()) == (halting == "act")

    def test_from_a_shallower_backbone(self, make_detector):
        uncovered = make_detector().warm_start(
            ResNetBackbone((2, 1), base_channels=4, stem_channels=4, unit="basic")
        )
        for place in ("block2/unit_2", "block3/unit_1"):
            assert uncovered[place] == "the source has no such unit"
        assert uncovered["rpn/preact"] == "the source has no such features"
        assert uncovered["box_head/postnorm"] == "the source has none"

    def test_from_a_detector(self, make_detector, scene):
        source, detector = make_detector(), make_detector(random=False)
        detector.warm_start(source)
        assert_same(detector.rpn.get_weights(), source.rpn.get_weights())
        assert_same(detector.box_head.get_weights(), source.box_head.get_weights())

    def test_a_detector_of_other_classes_gives_those_of_the_same_name(self, make_detector):
        source = make_detector(class_names=["cat", "dog", "owl"])
        detector = make_detector(random=False, class_names=["owl", "fox", "cat"])
        own = [weight.numpy() for weight in detector.box_head.scores.weights]
        uncovered = detector.warm_start(source)
        for place in ("box_head/scores", "box_head/boxes"):
            assert uncovered[place] == "2 classes by name; new: fox"
        ours, theirs = detector.box_head, source.box_head
        for mine, other in ((0, 2), (2, 0)):
            assert_same(ours.scores.kernel[:, 1 + mine], theirs.scores.kernel[:, 1 + other])
            boxes = [slice(4 * number, 4 * number + 4) for number in (mine, other)]
            assert_same(ours.boxes.kernel[:, boxes[0]], theirs.boxes.kernel[:, boxes[1]])
            assert_same(ours.boxes.bias[boxes[0]], theirs.boxes.bias[boxes[1]])
        assert_same(ours.scores.kernel[:, 0], theirs.scores.kernel[:, 0])  # background
        assert_same(ours.scores.kernel[:, 2], own[0][:, 2])
        assert_same(ours.postnorm.get_weights(), theirs.postnorm.get_weights())
        assert_same(detector.rpn.get_weights(), source.rpn.get_weights())

    @pytest.mark.parametrize("kind", ["classifier", "backbone", "detector"])
    def test_from_something_of_which_nothing_fits(self, make_detector, kind):
        other = {"base_channels": 8, "stem_channels": 8}
        if kind == "detector":
            source = make_detector(backbone=other)
        else:
            source = ResNetBackbone((2, 2, 2), unit="basic", **other)
            source = source if kind == "backbone" else ImageClassifier(source, 3)
        detector = make_detector()
        before = detector.get_weights()
        with pytest.raises(UserError, match="nothing fits; looked for .* 4 channels on, found .*8"):
            detector.warm_start(source)
        assert_same(detector.get_weights(), before)

    def test_from_something_else(self, make_detector):
        with pytest.raises(ValueError, match="ResNetBackbone"):
            make_detector().warm_start(keras.Sequential([]))
