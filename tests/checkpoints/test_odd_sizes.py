"""Networks with random weights at odd image sizes against an independent NumPy implementation."""

import numpy as np
import pytest

from sact_tf.checkpoints import variable_map
from sact_tf.models import ImageClassifier, ResNetBackbone
from tests.checkpoints.numpy_network import NumpyNetwork
from tests.golden_case import load_case

# The slope of a leaky ReLU is float32 inside TensorFlow's kernel.
TOLERANCE = {"imagenet": 1e-12, "cifar": 1e-7}


def random_variables(model, generator):
    """Sets weights that let positions halt after each of the units; returns them by name."""
    variables = {}
    for name, weight in variable_map(model).items():
        shape = tuple(weight.shape)
        if name.endswith(("gamma", "moving_variance")):
            value = generator.uniform(0.5, 1.5, shape)
        elif name.endswith("weights"):
            spread = 3.0 if "/local_conv/" in name else 1.0
            value = generator.normal(0, spread / np.sqrt(np.prod(shape[:-1])), shape)
        elif "/local_conv/" in name or "/global_conv/" in name:
            value = generator.uniform(-0.5, 1.0, shape)
        else:
            value = generator.normal(0, 0.3, shape)
        weight.assign(value)
        variables[name] = value
    return variables


def check(model, network, halting, size, seed):
    generator = np.random.default_rng(seed)
    variables = random_variables(model, generator)
    images = generator.normal(0, 1, (2, *size, 3))
    expected = NumpyNetwork(variables, network, halting)(images)
    outputs = model.forward(images, training=False)

    def assert_close(received, wanted):
        received = np.asarray(received)
        assert received.shape == wanted.shape
        error = np.max(np.abs(received - wanted))
        assert error <= TOLERANCE[network] * np.max(np.abs(wanted))

    chosen = set()
    for block, wanted in zip(model.backbone.blocks, expected["blocks"].values(), strict=True):
        assert_close(outputs["features"][block.name], wanted["out"])
        halted = outputs["halting"][block.name]
        np.testing.assert_array_equal(halted["flops"], wanted["flops"])
        if halting:
            np.testing.assert_array_equal(halted["num_units"], wanted["num_units"])
            assert_close(halted["ponder_cost"], wanted["ponder_cost"])
            assert_close(halted["halting_distribution"], wanted["halting_distribution"])
            chosen |= set(np.unique(wanted["num_units"]))
    assert_close(outputs["logits"], expected["logits"])
    np.testing.assert_array_equal(outputs["flops"], expected["flops"])
    if halting == "sact" and min(size) > 1:
        assert chosen == {1, 2, 3}, "weights that halt everywhere at once test nothing"
    if halting is None:
        assert model.plain_flops(*size) == expected["flops"][0]


@pytest.mark.parametrize("halting", [None, "act", "sact"])
@pytest.mark.parametrize("size", [(37, 53), (1, 30)])
def test_imagenet_network(halting, size):
    backbone = ResNetBackbone(
        units=(3, 1, 3, 2), base_channels=2, stem_channels=8, halting=halting, dtype="float64"
    )
    # The root has the channels of the first block, whose shortcut is then the identity.
    assert backbone.blocks[0].units[0].shortcut is None
    check(ImageClassifier(backbone, 5), "imagenet", halting, size, seed=sum(size))


@pytest.mark.parametrize("halting", [None, "act", "sact"])
# The authors' own network cannot be built where a map that enters block 2 or 3 is odd: its
# shortcut pools with VALID, its convolution with SAME. Ours averages what is there.
@pytest.mark.parametrize("size", [(20, 36), (37, 53), (5, 1)])
def test_cifar_network(halting, size):
    backbone = ResNetBackbone.cifar((3, 2, 3), base_channels=4, halting=halting, dtype="float64")
    check(ImageClassifier(backbone, 5), "cifar", halting, size, seed=sum(size))


@pytest.mark.parametrize("name", ["imagenet_act", "imagenet_sact_f64", "cifar_sact_frozen_f64"])
def test_the_numpy_network_is_the_authors(golden, name):
    case = load_case(golden, name)
    variables = {
        key.removeprefix("var/"): value
        for key, value in case.arrays.items()
        if key.startswith("var/")
    }
    result = NumpyNetwork(variables, case.meta["net"], case.meta["mt"])(case.arrays["images"])
    tolerance = 1e-12 if name.endswith("f64") else 1e-5
    case.assert_close(result["logits"], "logits", tolerance)
    case.assert_equal(result["flops"], "flops")
    for block, scope in zip(result["blocks"].values(), case.scopes.values(), strict=True):
        case.assert_close(block["out"], f"{scope}/out", tolerance)
        case.assert_equal(block["num_units"], f"{scope}/num_units")
        case.assert_equal(block["flops"], f"{scope}/flops")
