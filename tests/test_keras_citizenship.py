"""Every layer and model is an ordinary Keras one: calls, fit, precision, config, compilation."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf import layers
from tests.harness import (
    assert_same,
    check_config,
    check_layer,
    randomize,
)
from tests.models.networks import NAMES, compile_model, images, make_backbone, make_classifier

BATCH_NORM = {"epsilon": 1e-2, "momentum": 0.7, "synchronized": True, "fused": False}
UNIT = {"stride": 2, "negative_slope": 0.2, "weight_decay": 1e-3, "batch_norm": BATCH_NORM}
INPUTS = np.random.default_rng(0).normal(size=[2, 6, 7, 4]).astype("float32")


def adaptive_block(**kwargs):
    dtype = kwargs.get("dtype")
    units = [
        layers.BottleneckUnit(2, stride=2, dtype=dtype, name="first"),
        layers.BottleneckUnit(2, dtype=dtype, name="second"),
        layers.BottleneckUnit(2, dtype=dtype, name="third"),
    ]
    return layers.AdaptiveBlock(
        units,
        entry_units=2,
        halting="sact",
        tile_size=2,
        execution="tiled",
        statistics="evaluated",
        costs={"rows": [0.25, 1.5], "windows": [0.5, 1.0], "window": 5},
        capacities={"shares": [0.5], "per": "batch"},
        ponder_weight=0.25,
        halting_epsilon=0.05,
        halting_bias=-1.0,
        halting_negative_slope=0.3,
        weight_decay=1e-3,
        batch_norm=BATCH_NORM,
        **kwargs,
    )


LAYERS = {
    "Convolution": functools.partial(
        layers.Convolution,
        6,
        3,
        stride=2,
        symmetric_padding=False,
        use_bias=True,
        weight_decay=1e-3,
        bias_initializer=keras.initializers.Constant(0.5),
    ),
    "BatchNormalization": functools.partial(
        layers.BatchNormalization,
        momentum=0.7,
        epsilon=1e-2,
        synchronized=True,
        fused=False,
        follows_convolution=True,
    ),
    "HaltingScore act": functools.partial(
        layers.HaltingScore,
        "act",
        bias=-1.0,
        negative_slope=0.2,
        weight_decay=1e-3,
        batch_norm=BATCH_NORM,
    ),
    "HaltingScore sact": functools.partial(
        layers.HaltingScore,
        "sact",
        bias=-1.0,
        negative_slope=0.2,
        weight_decay=1e-3,
        batch_norm=BATCH_NORM,
    ),
    "BottleneckUnit": functools.partial(layers.BottleneckUnit, 2, **UNIT),
    "BasicUnit": functools.partial(layers.BasicUnit, 6, preactivated_shortcut=True, **UNIT),
    "Stem": functools.partial(layers.Stem, "cifar", channels=6, weight_decay=1e-3),
    "ClassifierHead": functools.partial(
        layers.ClassifierHead,
        3,
        pools_first=True,
        negative_slope=0.2,
        weight_decay=1e-3,
        batch_norm=BATCH_NORM,
    ),
    "AdaptiveBlock": adaptive_block,
}


def masked(layer):
    """XLA compiles masked execution only."""
    if isinstance(layer, layers.AdaptiveBlock):
        layer.execution = "masked"
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make = LAYERS[name]
    check_config(make)
    check_layer(lambda **kwargs: masked(make(**kwargs)), INPUTS, tolerance=1e-4)


def test_the_harness_sees_every_public_layer():
    public = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)} - {
        "ResidualUnit"
    }
    assert public == {name.split()[0] for name in LAYERS}


def test_halting_stays_float32_under_bfloat16():
    model = make_classifier(dtype="mixed_bfloat16", num_classes=3)
    outputs = model.forward(images())
    assert outputs["features"]["block1"].dtype == tf.bfloat16
    assert outputs["logits"].dtype == tf.float32
    for halts in outputs["halting"].values():
        assert halts["ponder_cost"].dtype == halts["halting_distribution"].dtype == tf.float32
    for block in model.backbone.blocks:
        assert block.halting_scores[0].local_conv.kernel.dtype == "float32"
        assert block.ponder_weight.dtype == tf.float32
    np.testing.assert_allclose(float(model.backbone.blocks[0].ponder_weight), 0.01, rtol=1e-7)
    # The symbolic outputs do not pass through bfloat16 on their way to a consumer.
    cost = model.backbone.halting["block1"]["ponder_cost"]
    assert cost.dtype == "float32"
    functional = keras.Model(model.backbone.input, cost)
    whole = functional(images())
    assert whole.dtype == tf.float32
    np.testing.assert_array_equal(whole, tf.cast(whole, tf.float32))
    assert np.any(whole != tf.cast(tf.cast(whole, tf.bfloat16), tf.float32))


@pytest.mark.parametrize("net, halting", [("imagenet", "sact"), ("cifar", "act"), ("cifar", None)])
def test_models_train_in_mixed_precision(net, halting):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_classifier(net, halting, num_classes=3)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.backbone.compute_dtype == "bfloat16"
    compile_model(model, 0.05)
    weights = model.get_weights()
    history = model.fit(images(4), np.arange(4) % 3, epochs=5, batch_size=4, verbose=0).history
    assert history["cross_entropy"][-1] < history["cross_entropy"][0]
    for variable in model.weights:
        assert np.isfinite(variable.numpy()).all(), variable.path
    assert not np.array_equal(weights[0], model.get_weights()[0])
    full = make_classifier(net, halting, num_classes=3, dtype="float32")
    full.set_weights(weights)
    mixed = make_classifier(net, halting, num_classes=3, dtype="mixed_bfloat16")
    mixed.set_weights(weights)
    np.testing.assert_allclose(mixed(images()), full(images()), atol=0.25)


@pytest.mark.parametrize("net, halting", [("imagenet", "sact"), ("cifar", "act"), ("cifar", None)])
def test_xla_equals_plain_execution(net, halting):
    """Forward pass and one training step, compiled and not."""
    results = []
    for compiled in (False, True):
        tile_size = 2 if halting == "sact" else 1
        model = make_classifier(net, halting, tile_size=tile_size, units=(1, 2))
        forward = tf.function(model.forward, jit_compile=compiled)(images(3))
        del forward["valid"]
        compile_model(model, jit_compile=compiled)
        logs = model.fit(images(4), np.arange(4), batch_size=4, verbose=0).history
        results.append((forward, logs, model.get_weights()))
    assert_same(results[0], results[1], 1e-4)


class TestConfigs:
    def test_backbone(self):
        restored = check_config(
            lambda: sact_tf.models.ResNetBackbone(
                units=(2, 1),
                base_channels=6,
                halting="sact",
                tile_size=(2, 3),
                execution="tiled",
                statistics="evaluated",
                costs=({"rows": [0.1, 0.5], "windows": None, "window": 8}, None),
                capacities=(None, {"shares": [], "per": "batch"}),
                ponder_weight=0.25,
                halting_epsilon=0.02,
                halting_bias=-1.0,
                stem="cifar",
                stem_channels=4,
                unit="basic",
                strided_unit="last",
                negative_slope=0.2,
                weight_decay=1e-3,
                batch_norm_epsilon=1e-2,
                batch_norm_momentum=0.5,
                synchronized_batch_norm=True,
                fused_batch_norm=False,
                image_shape=(24, 32, 1),
                frozen=["block1/unit_1", "block2/unit_2/bn1"],
                dtype="mixed_bfloat16",
                name="mine",
            )
        )
        assert [block.tile_size for block in restored.blocks] == [2, 3]
        assert restored.compute_dtype == "bfloat16"
        assert not restored.blocks[0].units[0].trainable_variables
        block = restored.blocks[1]
        assert not block.units[1].bn1.trainable and block.units[1].preact.trainable
        assert block.statistics == "evaluated"
        assert restored.blocks[0].costs.rows == (0.1, 0.5) and block.own_costs is None
        assert block.halting_epsilon == 0.02
        assert block.halting_bias == -1.0
        assert block.units[0].batch_norm == BATCH_NORM_OF_BACKBONE

    @pytest.mark.parametrize(
        "make",
        [
            lambda: sact_tf.models.ResNetBackbone.cifar((1, 2, 1), base_channels=4, halting="act"),
            lambda: sact_tf.models.ResNetBackbone.from_depth(50, base_channels=2, stem_channels=4),
            lambda: sact_tf.models.ResNetBackbone.keras_v2(50, base_channels=2, stem_channels=4),
        ],
        ids=["cifar", "from_depth", "keras_v2"],
    )
    def test_classmethods_round_trip(self, make):
        backbone = make()
        restored = sact_tf.models.ResNetBackbone.from_config(backbone.get_config())
        assert restored.get_config() == backbone.get_config()
        restored.set_weights(backbone.get_weights())
        assert_same(restored(images(1, 20, 20)), backbone(images(1, 20, 20)), 1e-6)

    def test_classifier(self):
        restored = check_config(
            lambda: sact_tf.models.ImageClassifier(
                make_backbone("cifar"),
                2,
                class_names=["cat", "dog"],
                preprocessing={"name": "imagenet", "image_size": 32},
                frozen=["head/logits"],
                name="pets",
                trainable=False,
            )
        )
        assert restored.class_names == ["cat", "dog"]
        assert restored.preprocessing == {"name": "imagenet", "image_size": 32}
        assert not restored.trainable_variables

    def test_config_follows_the_settings(self):
        model = make_classifier()
        sact_tf.set_ponder_weight(model, 0.125)
        config = model.get_config()["backbone"]["config"]
        assert config["ponder_weight"] == 0.125
        assert config["execution"] == model.backbone.blocks[0].execution

    def test_config_can_be_read_while_tracing(self):
        model = make_classifier()

        @tf.function
        def traced(batch):
            model.get_config()
            return model(batch)

        assert traced(images()).shape == (2, 5)


BATCH_NORM_OF_BACKBONE = {"epsilon": 1e-2, "momentum": 0.5, "synchronized": True, "fused": False}


@pytest.mark.parametrize("net", NAMES)
def test_clone(net):
    """Keras clones a functional subclass as a plain functional model: same numbers, own weights."""
    model = make_classifier(net, weight_decay=0.0)
    clone = keras.models.clone_model(model)
    ours = {id(variable) for variable in model.variables}
    assert not ours & {id(variable) for variable in clone.variables}
    assert [v.path for v in clone.variables] == [v.path for v in model.variables]
    clone.set_weights(model.get_weights())
    assert_same(clone(images()), model(images()), 1e-6)
    np.testing.assert_allclose(tf.add_n(clone.losses), tf.add_n(model.losses), rtol=1e-6)
    assert len(clone.losses) == 2


def test_fit_evaluate_predict_on_a_dataset():
    """Partial last batch, tf.data, callbacks that save weights."""
    model = make_classifier("cifar", num_classes=3, units=(1, 2))
    compile_model(model, metrics=["accuracy"])
    data = tf.data.Dataset.from_tensor_slices((images(5, 16, 16), np.arange(5) % 3)).batch(2)
    history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    assert {"val_cross_entropy", "val_ponder_loss", "val_weight_decay"} <= set(history)
    predicted = model.predict(data, verbose=0)
    assert predicted.shape == (5, 3)
    np.testing.assert_allclose(predicted, model(images(5, 16, 16)), atol=1e-4)


def test_training_lowers_the_ponder_cost():
    """With a large tau, the halting scores learn to stop: the gradient reaches them through fit."""
    model = compile_model(
        make_classifier("cifar", num_classes=3, ponder_weight=1.0, units=(2, 2)), 0.05
    )
    batch, labels = images(4, 16, 16), np.arange(4) % 3
    before = model.evaluate(batch, labels, verbose=0, return_dict=True)["ponder_loss"]
    model.fit(batch, labels, epochs=10, batch_size=4, verbose=0)
    after = model.evaluate(batch, labels, verbose=0, return_dict=True)["ponder_loss"]
    assert after < before - 0.2


def test_layers_inside_a_sequential_model():
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Stem("cifar", channels=4),
            layers.BasicUnit(4),
            layers.ClassifierHead(2),
        ]
    )
    randomize(model)
    assert model(images(2, 9, 8)).shape == (2, 2)
