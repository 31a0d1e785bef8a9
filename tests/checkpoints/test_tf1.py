"""Models from the authors' variables: what is used, what is left over, what is refused."""

import numpy as np
import pytest

from sact_tf.checkpoints import (
    infer_architecture,
    load_checkpoint,
    model_from_variables,
    variable_map,
)
from sact_tf.errors import UserError
from tests.checkpoints.writing import golden_variables, write_checkpoint

LOGITS = "resnet_residual/logits/weights"


@pytest.fixture(scope="module")
def variables(golden):
    """A CIFAR SACT network of two units per block; tests change copies of the dict."""
    return {
        name: value
        for name, value in golden_variables(golden / "cifar_sact.npz").items()
        if "/unit_3/" not in name and "/unit_2/halting_proba/" not in name
    }


@pytest.mark.parametrize(
    ("case", "network", "units", "stem_channels", "halting", "classes"),
    [
        ("imagenet_vanilla", "imagenet", (2, 3, 4, 2), 64, None, 11),
        ("imagenet_act", "imagenet", (2, 3, 4, 2), 64, "act", 11),
        ("imagenet_sact", "imagenet", (2, 3, 4, 2), 64, "sact", 11),
        ("cifar_vanilla", "cifar", (3, 3, 3), 8, None, 10),
        ("cifar_act", "cifar", (3, 3, 3), 8, "act", 10),
        ("cifar_sact", "cifar", (3, 3, 3), 8, "sact", 10),
    ],
)
def test_architecture(golden, case, network, units, stem_channels, halting, classes):
    variables = golden_variables(golden / f"{case}.npz")
    found = infer_architecture({name: value.shape for name, value in variables.items()})
    assert found.network == network
    assert found.units == units
    assert found.base_channels == (4 if network == "imagenet" else 8)
    assert found.stem_channels == stem_channels
    assert found.halting == halting
    assert found.num_classes == classes


def test_constants_of_each_network(golden):
    imagenet = model_from_variables(golden_variables(golden / "imagenet_sact.npz"))
    assert imagenet.preprocessing == {"name": "imagenet", "image_size": 224}
    config = imagenet.backbone.get_config()
    assert config["batch_norm_epsilon"] == 1e-5
    assert config["batch_norm_momentum"] == 0.997
    assert config["weight_decay"] == 1e-4
    cifar = model_from_variables(golden_variables(golden / "cifar_sact.npz"), ponder_weight=0.25)
    assert cifar.preprocessing["name"] == "cifar"
    config = cifar.backbone.get_config()
    assert config["batch_norm_epsilon"] == 1e-3
    assert config["batch_norm_momentum"] == 0.9
    assert config["weight_decay"] == 2e-4
    assert config["ponder_weight"] == 0.25


def test_uneven_units(variables):
    fewer = {
        name: value
        for name, value in variables.items()
        if "block_2/unit_2/" not in name and "block_2/unit_1/halting" not in name
    }
    model = model_from_variables(fewer)
    assert tuple(model.backbone.get_config()["units"]) == (2, 1, 2)


def test_training_checkpoint(variables, tmp_path):
    saved = dict(variables)
    for name, value in variables.items():
        saved[name + "/ExponentialMovingAverage"] = value * 0.5
        if "moving_" not in name:
            saved[name + "/Momentum"] = value + 1
    saved["total_loss/ExponentialMovingAverage"] = np.float32(3)
    saved["global_step"] = np.int64(123)
    prefix = write_checkpoint(tmp_path / "model.ckpt-123", saved)

    loaded = load_checkpoint(tmp_path)
    assert loaded.prefix == prefix
    assert set(loaded.used) == set(variables)
    assert {kind: len(names) for kind, names in loaded.left_over.items()} == {
        "moving averages": len(variables) + 1,
        "optimizer slots": sum("moving_" not in name for name in variables),
        "training state": 1,
    }
    for name, weight in variable_map(loaded.model).items():
        np.testing.assert_array_equal(weight.numpy(), variables[name])

    averaged = load_checkpoint(tmp_path, use_moving_averages=True)
    assert all(name.endswith("/ExponentialMovingAverage") for name in averaged.used)
    assert set(averaged.left_over["raw weights"]) == set(variables)
    assert averaged.left_over["moving averages"] == ("total_loss/ExponentialMovingAverage",)
    for name, weight in variable_map(averaged.model).items():
        np.testing.assert_array_equal(weight.numpy(), variables[name] * 0.5)


def test_averages_of_trained_weights_only(variables):
    saved = dict(variables)
    for name, value in variables.items():
        if "moving_" not in name:
            saved[name + "/ExponentialMovingAverage"] = value * 0.5
    weights = variable_map(model_from_variables(saved, use_moving_averages=True))
    np.testing.assert_array_equal(weights[LOGITS].numpy(), variables[LOGITS] * 0.5)
    mean = "resnet_residual/BatchNorm/moving_mean"
    np.testing.assert_array_equal(weights[mean].numpy(), variables[mean])
    del saved[LOGITS + "/ExponentialMovingAverage"]
    with pytest.raises(UserError, match=f"{LOGITS}/ExponentialMovingAverage is missing"):
        model_from_variables(saved, use_moving_averages=True)


def test_no_averages(variables):
    with pytest.raises(UserError, match="no moving averages in this checkpoint"):
        model_from_variables(variables, use_moving_averages=True)


def test_float64(variables):
    model = model_from_variables(variables, dtype="float64")
    logits = model(np.zeros([1, 8, 8, 3]))
    assert logits.dtype == "float64"


def test_class_names(variables):
    names = [f"class {number}" for number in range(10)]
    assert model_from_variables(variables, class_names=names).class_names == names
    model = model_from_variables(variables, class_names=names[1:])
    assert model.class_names == ["background", *names[1:]]
    with pytest.raises(UserError, match="received 3"):
        model_from_variables(variables, class_names=names[:3])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet_residual/block_2/unit_2/residual/conv1/weights", "is missing"),
        ("resnet_residual/block_1/unit_1/halting_proba/local_bn/gamma", "is missing"),
        ("resnet_residual/BatchNorm/moving_variance", "is missing"),
        (LOGITS, "is missing"),
    ],
)
def test_missing_variable(variables, name, message):
    saved = {key: value for key, value in variables.items() if key != name}
    with pytest.raises(UserError, match=f"{name} {message}"):
        model_from_variables(saved)


def test_missing_unit(variables):
    saved = {key: value for key, value in variables.items() if "block_3/unit_1/" not in key}
    with pytest.raises(UserError, match=r"block 3 of 3 has only the units \[2\]"):
        model_from_variables(saved)


def test_missing_block(variables):
    saved = {key: value for key, value in variables.items() if "/block_3/" not in key}
    with pytest.raises(UserError, match="block 3 of 3 has no units"):
        model_from_variables(saved)


@pytest.mark.parametrize(
    "name",
    [
        "resnet_residual/block_1/unit_1/residual/shortcut/weights",
        "resnet_residual/block_1/unit_2/halting_proba/global_conv/weights",
        "resnet_residual/block_4/unit_1/residual/conv1/weights",
        "AuxLogits/weights",
    ],
)
def test_variable_that_has_no_place(variables, name):
    with pytest.raises(UserError, match=f"{name} is not part of the network"):
        model_from_variables({**variables, name: np.zeros([1, 1, 8, 1], np.float32)})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros([1, 1, 31, 10], np.float32), r"expected \[1, 1, 32, 10\], received \[1, 1, 31"),
        (np.zeros([32, 10], np.float32), r"expected \[height, width, in, out\]"),
        (np.zeros([1, 1, 32, 10], np.int32), "expected floating point numbers, received int32"),
        (np.full([1, 1, 32, 10], np.nan, np.float32), "NaN"),
    ],
)
def test_wrong_value(variables, value, message):
    with pytest.raises(UserError, match=f"{LOGITS}.*{message}"):
        model_from_variables({**variables, LOGITS: value})


def test_odd_channels_cannot_be_padded(variables):
    name = "resnet_residual/block_1/unit_1/residual/conv1/weights"
    saved = {**variables, name: np.zeros([3, 3, 8, 7], np.float32)}
    with pytest.raises(UserError, match="even number of channels, received 7"):
        model_from_variables(saved)


def test_foreign_checkpoint():
    with pytest.raises(UserError, match=r"2 others such as conv1/kernel"):
        model_from_variables({"conv1/kernel": np.zeros(3), "resnet_v2_50/x": np.zeros(3)})
    slim = {
        "global_step": np.int64(7),
        "beta1_power": np.float32(0.9),
        "InceptionV3/Conv2d_1a_3x3/BatchNorm/beta": np.zeros(32),
        "InceptionV3/Conv2d_1a_3x3/weights": np.zeros([3, 3, 3, 32]),
        "InceptionV3/Conv2d_1a_3x3/weights/RMSProp": np.zeros([3, 3, 3, 32]),
    }
    with pytest.raises(UserError, match="5 others such as InceptionV3/Conv2d_1a_3x3/weights$"):
        model_from_variables(slim)
    with pytest.raises(UserError, match="has no variables"):
        model_from_variables({})


def test_two_networks_in_one(variables):
    with pytest.raises(UserError, match="both resnet_v2 and resnet_residual"):
        model_from_variables({**variables, "resnet_v2/conv1/biases": np.zeros(3)})


def test_messages_start_with_the_path(variables, tmp_path):
    del (saved := dict(variables))[LOGITS]
    prefix = write_checkpoint(tmp_path / "model.ckpt-1", saved)
    with pytest.raises(UserError, match=f"^{prefix}: incomplete checkpoint"):
        load_checkpoint(tmp_path)
