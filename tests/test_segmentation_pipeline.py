"""Someone else's pipeline: backbone features into a per-pixel head of plain Keras layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from tests.models.networks import make_backbone

TAU = 0.5
BATCH = np.random.default_rng(0).normal(size=[4, 24, 24, 3]).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 3, [4, 24, 24])


def small_backbone(net="imagenet", **kwargs):
    return make_backbone(net, units=(2, 2), **kwargs)


def segmentation_head(features, stride):
    maps = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(features)
    maps = keras.layers.UpSampling2D(stride)(maps)
    return keras.layers.Conv2D(3, 1)(maps)


def on_features(backbone, name):
    """A functional model on inner outputs: the blocks are its layers, the backbone is not."""
    return keras.Model(
        backbone.input, segmentation_head(backbone.features[name], backbone.strides[name])
    )


def calling(backbone, name):
    """A functional model that calls the whole backbone."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, segmentation_head(backbone(image)[name], backbone.strides[name]))


class Segmenter(keras.Model):
    def __init__(self, backbone, name):
        super().__init__()
        self.backbone, self.block = backbone, name
        self.maps = keras.layers.Conv2D(3, 1)
        self.resize = keras.layers.UpSampling2D(backbone.strides[name])

    def call(self, inputs, training=None):
        return self.resize(self.maps(self.backbone(inputs, training=training)[self.block]))


WAYS = {"features": on_features, "call": calling, "subclass": Segmenter}


def compiled(model, **kwargs):
    model.compile(
        keras.optimizers.SGD(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **kwargs,
    )
    return model


@pytest.mark.parametrize(
    "way, block, used, halting",
    [
        ("features", "block2", ["block1", "block2"], "sact"),
        ("features", "block1", ["block1"], "sact"),
        ("features", "block1", ["block1"], "act"),
        ("call", "block2", ["block1", "block2"], "sact"),
        ("subclass", "block2", ["block1", "block2"], "act"),
    ],
)
def test_ponder_loss_of_the_blocks_in_use(way, block, used, halting):
    def loss_and_gradients(tau):
        backbone = small_backbone(halting=halting, ponder_weight=tau, weight_decay=0.0)
        model = compiled(WAYS[way](backbone, block), run_eagerly=True)
        costs = backbone.forward(BATCH)["halting"]
        expected = sum(tau * np.mean(costs[name]["ponder_cost"]) for name in used)
        logits = model(BATCH)
        cross_entropy = np.mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits))
        logs = model.evaluate(BATCH, LABELS, batch_size=4, verbose=0, return_dict=True)
        np.testing.assert_allclose(logs["loss"], cross_entropy + expected, rtol=1e-4)
        before = {v.path: v.numpy() for v in backbone.trainable_variables}
        keras.utils.set_random_seed(3)
        history = model.fit(BATCH, LABELS, batch_size=4, epochs=1, verbose=0).history
        assert np.isfinite(history["loss"][0])
        after = {v.path: v.numpy() for v in backbone.trainable_variables}
        return {path: after[path] - before[path] for path in before}

    keras.utils.set_random_seed(0)
    with_tau = loss_and_gradients(TAU)
    keras.utils.set_random_seed(0)
    without = loss_and_gradients(0.0)
    kernels = [
        path for path in with_tau if "halting_score" in path and path.endswith("conv/kernel")
    ]
    assert kernels
    for path in kernels:
        in_use = any(name in path for name in used)
        moved = not np.allclose(with_tau[path], without[path], atol=1e-7)
        assert moved == in_use, path


@pytest.mark.parametrize("way", WAYS)
def test_settings_reach_through_the_wrapper(way):
    backbone = small_backbone(ponder_weight=TAU, weight_decay=0.0)
    model = compiled(WAYS[way](backbone, "block2"))
    model(BATCH)
    sact_tf.set_ponder_weight(model, 0.0)
    free = model.evaluate(BATCH, LABELS, batch_size=4, verbose=0, return_dict=True)["loss"]
    sact_tf.set_ponder_weight(model, 2 * TAU)
    paid = model.evaluate(BATCH, LABELS, batch_size=4, verbose=0, return_dict=True)["loss"]
    costs = backbone.forward(BATCH)["halting"].values()
    expected = 2 * TAU * sum(np.mean(cost["ponder_cost"]) for cost in costs)
    np.testing.assert_allclose(paid - free, expected, rtol=1e-3)
    sact_tf.set_execution(model, "masked")
    assert {block.execution for block in backbone.blocks} == {"masked"}


@pytest.mark.parametrize("way", ["features", "call"])
def test_save_and_load(tmp_path, way):
    model = compiled(WAYS[way](small_backbone(), "block2"))
    model.fit(BATCH, LABELS, batch_size=4, verbose=0)
    model.save(tmp_path / "segmentation.keras")
    loaded = keras.models.load_model(tmp_path / "segmentation.keras")
    np.testing.assert_allclose(loaded(BATCH), model(BATCH), rtol=1e-4, atol=1e-4)
    logs = [
        one.evaluate(BATCH, LABELS, batch_size=4, verbose=0, return_dict=True)["loss"]
        for one in (model, loaded)
    ]
    np.testing.assert_allclose(*logs, rtol=1e-5)
    sact_tf.set_ponder_weight(loaded, 1.0)


def test_training_learns_and_lowers_the_ponder_cost():
    model = compiled(on_features(small_backbone("cifar", ponder_weight=TAU), "block2"))
    history = model.fit(BATCH, LABELS, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
