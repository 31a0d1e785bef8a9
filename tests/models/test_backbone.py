"""Backbone: shapes, strides, any size, execution against the reference, bad arguments."""

import copy
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.layers import AdaptiveBlock, BasicUnit
from sact_tf.models import ImageClassifier, ResNetBackbone
from sact_tf.models.image_batches import image_tensor
from sact_tf.models.settings import adaptive_blocks
from tests.harness import assert_same, padded_batch, run_python
from tests.layers.reference_block import run_reference
from tests.models.networks import ALL_NAMES, NAMES, images, make_backbone, make_classifier


@pytest.mark.parametrize(
    "net, strides", [("imagenet", [4, 8]), ("cifar", [1, 2]), ("keras", [4, 8])]
)
def test_features(net, strides):
    backbone = make_backbone(net)
    assert list(backbone.strides.values()) == strides
    features = backbone(images(2, 33, 21))
    assert list(features) == backbone.block_names == ["block1", "block2"]
    factor = 1 if net == "cifar" else 4
    for index, (name, tensor) in enumerate(features.items()):
        channels = 4 * 2**index * factor
        assert tensor.shape == (2, -(-33 // strides[index]), -(-21 // strides[index]), channels)
        assert backbone.features[name].shape == (None, None, None, channels)
        assert backbone.halting[name]["num_units"].shape == (None, None, None)
        assert backbone.halting[name]["num_units"].dtype == "int32"
        assert backbone.halting[name]["flops"].dtype == "int64"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "halting, tile_size", [(None, 1), ("act", 1), ("sact", 1), ("sact", (2, 3))]
)
@pytest.mark.parametrize("net", ALL_NAMES)
def test_equals_the_reference(net, halting, tile_size, training):
    backbone = make_backbone(net, halting, tile_size=tile_size, dtype="float64")
    batch = images(2, 25, 19).astype("float64")
    outputs = backbone.forward(batch, training=training)
    state = backbone.stem(batch)
    tau = float(backbone.blocks[0].ponder_weight)
    loss = 0.0
    for block in backbone.blocks:
        state, halts = run_reference(block, state, training)
        mean = halts.pop("ponder_cost_mean")
        assert_same(outputs["features"][block.name], state, 1e-10)
        assert_same(outputs["halting"][block.name], halts, 1e-10)
        assert set(backbone.halting[block.name]) == set(halts)
        loss += 0.0 if halting is None else tau * mean
    np.testing.assert_allclose(outputs["ponder_loss"], loss, rtol=1e-6)


@pytest.mark.parametrize("net", NAMES)
def test_one_model_takes_any_size_and_batch(net):
    backbone = make_backbone(net)
    for batch, height, width in [(1, 1, 1), (1, 17, 40), (3, 5, 2)]:
        for tensor in backbone(images(batch, height, width)).values():
            assert tensor.shape[0] == batch
            assert np.isfinite(tensor).all()


def test_fixed_image_shape():
    backbone = make_backbone("imagenet", image_shape=(32, 48, 1))
    assert backbone.features["block2"].shape == (None, 4, 6, 32)
    assert backbone.halting["block2"]["ponder_cost"].shape == (None, 4, 6)
    features = backbone(np.zeros([2, 32, 48, 1], "float32"))
    assert features["block2"].shape == (2, 4, 6, 32)
    copy = ResNetBackbone.from_config(backbone.get_config())
    assert copy.input_shape == (None, 32, 48, 1)


def test_halting_tensors_make_functional_models():
    backbone = make_backbone()
    maps = keras.Model(backbone.input, backbone.halting["block2"]["ponder_cost"])
    expected = backbone.forward(images())["halting"]["block2"]["ponder_cost"]
    np.testing.assert_allclose(maps(images()), expected, rtol=1e-6)


def test_tile_size_of_every_block():
    backbone = make_backbone(tile_size=[2, 4])
    assert [block.tile_size for block in backbone.blocks] == [2, 4]
    assert [block.tile_size for block in make_backbone(tile_size=3).blocks] == [3, 3]


def test_what_was_set_on_single_blocks_is_kept(tmp_path):
    model = make_classifier()
    first, second = model.backbone.blocks
    first.execution, first.halting_epsilon = "tiled", 0.125
    second.ponder_weight = 0.5
    model.save(tmp_path / "model.keras")
    copies = {
        "save": keras.models.load_model(tmp_path / "model.keras"),
        "deepcopy": copy.deepcopy(model),
        "clone_model": keras.models.clone_model(model),
        "from_config": type(model).from_config(model.get_config()),
    }
    tau = first.get_ponder_weight()
    for way, each in copies.items():
        found = [
            (block.execution, block.get_ponder_weight(), block.halting_epsilon)
            for block in adaptive_blocks(each)
        ]
        assert found == [("tiled", tau, 0.125), ("masked", 0.5, 0.01)], way


def test_adaptive_blocks_in_the_order_of_the_network():
    backbone = make_backbone(units=(1, 1, 1))
    classifier = ImageClassifier(backbone, 2)
    inside = keras.Sequential([keras.Input((32, 32, 3)), classifier])
    functional = keras.Model(backbone.input, backbone.features["block3"])
    for model in (backbone, classifier, inside, functional):
        assert adaptive_blocks(model) == backbone.blocks


def test_images_in_every_form():
    backbone = make_backbone()
    _, batch, valid = padded_batch([(24, 20), (13, 17)], 24, 20)
    expected, whole = backbone(batch, valid=valid), backbone(images())
    assert_same(backbone({"image": batch, "valid": valid.astype("uint8"), "more": 1}), expected, 0)
    assert_same(backbone([images()]), whole, 0)
    assert_same(backbone.forward({"image": images()})["features"], whole, 0)
    assert_same(backbone.predict({"image": images()}, verbose=0), whole, 1e-5)
    with pytest.raises(ValueError, match=r"key 'image'.*received the keys \['img'\]"):
        backbone({"img": images()})
    with pytest.raises(ValueError, match="one tensor of images .* received a list of 2"):
        backbone([images(), images()])


@pytest.mark.parametrize("name, value", [("floatx", "float16"), ("format", "channels_first")])
def test_settings_of_keras_that_do_not_work_are_named(name, value):
    change, now = {
        "floatx": (keras.config.set_floatx, keras.config.floatx()),
        "format": (keras.config.set_image_data_format, keras.config.image_data_format()),
    }[name]
    change(value)
    try:
        for make in (make_backbone, lambda: BasicUnit(4), lambda: AdaptiveBlock([object()])):
            with pytest.raises(ValueError, match=f"expected .* received '{value}'"):
                make()
    finally:
        change(now)


def test_another_backend_of_keras_is_refused_at_import():
    code = "import sact_tf"
    with pytest.raises(AssertionError, match="expected the Keras backend to be 'tensorflow'"):
        run_python("import os; os.environ['KERAS_BACKEND'] = 'jax'; " + code)


def test_integer_and_numpy_inputs_of_forward():
    backbone = make_backbone()
    pixels = np.random.default_rng(0).integers(0, 255, [1, 20, 20, 3], dtype=np.uint8)
    expected = backbone.forward(pixels.astype("float32"))["features"]
    assert_same(backbone.forward(pixels)["features"], expected, 1e-6)
    assert_same(backbone.forward(tf.constant(pixels))["features"], expected, 1e-6)


def test_a_batch_of_unknown_rank_can_be_traced():
    tensor = tf.function(
        lambda images: image_tensor(images, 3, "float32"),
        input_signature=[tf.TensorSpec(None, tf.uint8)],
    )
    assert tensor(np.ones([1, 2, 2, 3], np.uint8)).dtype == tf.float32


@pytest.mark.parametrize(
    "images, words",
    [
        (
            np.zeros([20, 20, 3], "float32"),
            "3], received (20, 20, 3); one image alone is images[None]",
        ),
        (np.zeros([1, 20, 20, 1], "float32"), "[batch, height, width, 3], received (1, 20, 20, 1)"),
        (np.zeros([1, 0, 20, 3], "float32"), "[batch, height, width, 3], received (1, 0, 20, 3)"),
        (np.array([["a.jpg"]]), "numbers, received string"),
    ],
)
def test_what_is_no_batch_of_images(images, words):
    backbone = make_backbone()
    with pytest.raises(ValueError, match="Expected images.*" + re.escape(words)):
        backbone(images)
    with pytest.raises(ValueError, match="Expected images.*" + re.escape(words)):
        backbone.forward(images)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"units": ()}, ["units", "()"]),
        ({"units": (1, 0)}, ["units", "(1, 0)"]),
        ({"base_channels": 0}, ["base_channels", "base_channels=0"]),
        ({"stem_channels": -1}, ["stem_channels", "stem_channels=-1"]),
        ({"tile_size": (2, 0)}, ["tile_size", "one per block (2)", "tile_size=(2, 0)"]),
        ({"tile_size": (2, 2, 2)}, ["tile_size", "one per block (2)", "(2, 2, 2)"]),
        ({"tile_size": 1.5}, ["tile_size", "1.5"]),
        ({"unit": "dense"}, ["unit", "'bottleneck'", "'basic'", "'dense'"]),
        ({"stem": "vgg"}, ["stem", "'imagenet'", "'cifar'", "'vgg'"]),
        ({"halting": "on"}, ["halting", "'act'", "'sact'", "'on'"]),
        ({"execution": "dense"}, ["execution", "'masked'", "'dense'"]),
        ({"statistics": "none"}, ["statistics", "'full'", "'none'"]),
        ({"execution": ("masked",)}, ["execution", "one per block (2)", "('masked',)"]),
        ({"ponder_weight": [1, 2, 3]}, ["ponder_weight", "one per block (2)", "[1, 2, 3]"]),
        ({"dtype": "float16"}, ["'mixed_float16'", "'float16'"]),
        ({"halting_epsilon": 2}, ["halting_epsilon", "(0, 1)", "2"]),
        ({"ponder_weight": -1}, ["ponder_weight", ">= 0", "-1"]),
        ({"image_shape": (None, None, None)}, ["image_shape", "channels", "(None, None, None)"]),
        ({"image_shape": (32, 32)}, ["image_shape", "(32, 32)"]),
    ],
)
def test_bad_arguments(arguments, words):
    options = {"units": (1, 1), "base_channels": 4, "halting": "sact", **arguments}
    with pytest.raises(ValueError) as error:
        ResNetBackbone(**options)
    for word in words:
        assert word in str(error.value)
