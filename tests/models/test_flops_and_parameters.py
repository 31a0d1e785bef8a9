"""Counts of whole networks: published numbers, and formulas written anew in plain Python."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.models import ImageClassifier, ResNetBackbone
from tests.models.networks import images, make_classifier


def half(size):
    return -(-size // 2)


def imagenet_flops(units, height, width, classes, base=64, stem=64):
    """Operations of a plain pre-activation bottleneck network, convolution by convolution."""
    height, width = half(height), half(width)
    total = 2 * height * width * 49 * 3 * stem
    height, width = half(height), half(width)
    channels = stem
    for block, number in enumerate(units):
        narrow = base * 2**block
        for unit in range(number):
            outer = height * width
            if block > 0 and unit == 0:
                height, width = half(height), half(width)
            inner = height * width
            total += 2 * outer * channels * narrow
            total += 2 * inner * (9 * narrow * narrow + narrow * 4 * narrow)
            if channels != 4 * narrow:
                total += 2 * inner * channels * 4 * narrow
            channels = 4 * narrow
    return total + 2 * channels * classes


def cifar_flops(units, height, width, classes, base):
    total = 2 * height * width * 9 * 3 * base
    channels = base
    for block, number in enumerate(units):
        filters = base * 2**block
        for unit in range(number):
            if block > 0 and unit == 0:
                height, width = half(height), half(width)
            total += 2 * height * width * 9 * (channels * filters + filters * filters)
            channels = filters
    return total + 2 * channels * classes


DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}


def test_resnet_101():
    """Numbers of the authors' networks: 15.6 GFLOPs, 44.6 million trainable parameters."""
    assert imagenet_flops(DEPTHS[101], 224, 224, 1001) == 15_602_814_976
    model = ImageClassifier(ResNetBackbone.from_depth(101), 1001)
    assert model.plain_flops(224, 224) == 15_602_814_976
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 44_579_945


@pytest.mark.parametrize(
    "halting, extra", [("act", 44_665_990 - 44_579_945), ("sact", 44_981_382 - 44_579_945)]
)
def test_parameters_of_the_halting_scores(halting, extra):
    """The difference to the plain ResNet-101, from scores built alone: no need of its bulk."""
    from sact_tf.layers import HaltingScore

    total = 0
    for block, number in enumerate(DEPTHS[101]):
        score = HaltingScore(halting)
        score.build((None, None, None, 256 * 2**block))
        total += (number - 1) * sum(int(np.prod(v.shape)) for v in score.trainable_variables)
    assert total == extra


def test_parameters_of_the_cifar_network():
    model = ImageClassifier(ResNetBackbone.cifar(5, halting="sact"), 10)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 471_014


@pytest.mark.parametrize(
    "depth", [50, *(pytest.param(depth, marks=pytest.mark.large) for depth in (152, 200))]
)
def test_plain_flops_of_every_depth(depth):
    backbone = ResNetBackbone.from_depth(depth, base_channels=2, stem_channels=4)
    assert backbone.get_config()["units"] == DEPTHS[depth]
    model = ImageClassifier(backbone, 7)
    for height, width in [(224, 224), (600, 1000), (35, 65)]:
        expected = imagenet_flops(DEPTHS[depth], height, width, 7, base=2, stem=4)
        assert model.plain_flops(height, width) == expected


@pytest.mark.parametrize("height, width", [(32, 32), (33, 21), (1, 1)])
def test_forward_counts_what_plain_flops_says(height, width):
    model = make_classifier("imagenet", None)
    expected = imagenet_flops((2, 3), height, width, 5, base=4, stem=6)
    assert model.plain_flops(height, width) == expected
    flops = model.forward(images(2, height, width))["flops"]
    assert flops.dtype == tf.int64
    np.testing.assert_array_equal(flops, [expected] * 2)
    in_graph = tf.function(model.plain_flops)(tf.constant(height), tf.constant(width))
    assert in_graph.dtype == tf.int64 and in_graph == expected
    model = make_classifier("cifar", None)
    expected = cifar_flops((2, 3), height, width, 5, base=4)
    assert model.plain_flops(height, width) == expected
    np.testing.assert_array_equal(model.forward(images(2, height, width))["flops"], [expected] * 2)


@pytest.mark.parametrize("net", ["imagenet", "cifar"])
@pytest.mark.parametrize("halting", ["act", "sact"])
def test_halting_saves_and_the_count_is_the_sum(net, halting):
    model = make_classifier(net, halting)
    outputs = model.forward(images(3))
    blocks = sum(np.asarray(block["flops"]) for block in outputs["halting"].values())
    size, positions = (7, 16 * 18) if net == "imagenet" else (3, 32 * 36)
    stem = 2 * positions * size**2 * 3 * model.backbone.stem.channels
    head = 2 * outputs["features"]["block2"].shape[-1] * 5
    np.testing.assert_array_equal(outputs["flops"], blocks + stem + head)
    halts = make_classifier(net, halting, halting_bias=10.0).forward(images(3))["flops"]
    runs = make_classifier(net, halting, halting_bias=-10.0).forward(images(3))["flops"]
    assert (halts.numpy() < model.plain_flops(32, 36)).all()
    assert (runs.numpy() >= model.plain_flops(32, 36)).all()
    assert (halts.numpy() <= outputs["flops"].numpy()).all()
    assert (outputs["flops"].numpy() <= runs.numpy()).all()


def test_counts_beyond_32_bits():
    model = make_classifier("cifar", None)
    assert model.plain_flops(4000, 6000) == cifar_flops((2, 3), 4000, 6000, 5, base=4) > 2**31


def test_unknown_depth():
    with pytest.raises(ValueError, match="depth.*50, 101, 152, 200.*received 18"):
        ResNetBackbone.from_depth(18)
