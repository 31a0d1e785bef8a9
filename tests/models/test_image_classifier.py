"""Classifier: losses and logs, ponder report, settings, bad arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.models import ImageClassifier, ResNetBackbone
from tests.harness import assert_same, padded_batch
from tests.models.networks import NAMES, compile_model, images, make_classifier

LABELS = np.array([0, 3, 1, 2])


def expected_losses(model, batch, labels, training):
    """Cross entropy, ponder loss and weight decay, computed apart from all Keras machinery."""
    outputs = model.forward(batch, training=training)
    cross_entropy = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs["logits"])
    )
    ponder = sum(
        float(block.ponder_weight) * np.mean(halts["ponder_cost"])
        for block, halts in zip(model.backbone.blocks, outputs["halting"].values(), strict=True)
    )
    rate = model.backbone.get_config()["weight_decay"]
    decay = sum(
        rate * np.sum(np.square(variable.numpy().astype("float64"))) / 2
        for variable in model.trainable_variables
        if variable.name == "kernel"
    )
    return float(cross_entropy), ponder, decay


@pytest.mark.parametrize(
    "net, halting", [("imagenet", "sact"), ("cifar", "sact"), ("cifar", "act"), ("imagenet", None)]
)
def test_logs_of_fit_and_evaluate(net, halting):
    options = {"weight_decay": 1e-2, "ponder_weight": 0.05, "units": (1, 2)}
    model = compile_model(make_classifier(net, halting, **options), metrics=["accuracy"])
    twin = make_classifier(net, halting, **options)
    batch = images(4)
    for call in ("evaluate", "fit"):
        cross_entropy, ponder, decay = expected_losses(twin, batch, LABELS, call == "fit")
        if halting is None:
            ponder = 0.0
        if call == "fit":
            history = model.fit(batch, LABELS, batch_size=4, epochs=1, verbose=0).history
            logs = {name: values[0] for name, values in history.items()}
        else:
            logs = model.evaluate(batch, LABELS, verbose=0, return_dict=True)
        assert set(logs) == {"loss", "accuracy", "cross_entropy", "ponder_loss", "weight_decay"}
        np.testing.assert_allclose(logs["cross_entropy"], cross_entropy, rtol=1e-4)
        np.testing.assert_allclose(logs["ponder_loss"], ponder, rtol=1e-4)
        np.testing.assert_allclose(logs["weight_decay"], decay, rtol=1e-4)
        np.testing.assert_allclose(logs["loss"], cross_entropy + ponder + decay, rtol=1e-4)


def test_logs_are_means_over_all_batches():
    """Batches of 3 and 1: the parts weigh images, as the loss does."""
    model = compile_model(make_classifier(weight_decay=1e-2))
    batch = images(4)
    logs = model.evaluate(batch, LABELS, batch_size=3, verbose=0, return_dict=True)
    parts = logs["cross_entropy"] + logs["ponder_loss"] + logs["weight_decay"]
    np.testing.assert_allclose(parts, logs["loss"], rtol=1e-5)
    single = [expected_losses(model, batch[i : i + 1], LABELS[i : i + 1], False) for i in range(4)]
    np.testing.assert_allclose(logs["cross_entropy"], np.mean([s[0] for s in single]), rtol=1e-4)
    np.testing.assert_allclose(logs["ponder_loss"], np.mean([s[1] for s in single]), rtol=1e-4)


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_one_step_of_fit_equals_custom_loops(halting):
    """The ponder loss counts once: by fit, by `model.losses`, by `forward`."""
    batch, rate = images(4), 0.1

    def by_fit(model):
        compile_model(model, rate).fit(batch, LABELS, batch_size=4, verbose=0)

    def by_losses(model):
        with tf.GradientTape() as tape:
            logits = model(batch, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits)
            ) + tf.add_n(model.losses)
        step(model, tape, loss)

    def by_forward(model):
        with tf.GradientTape() as tape:
            outputs = model.forward(batch, training=True)
            loss = (
                tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, outputs["logits"])
                )
                + outputs["ponder_loss"]
                + sact_tf.weight_decay_loss(model)
            )
        step(model, tape, loss)

    def step(model, tape, loss):
        variables = [variable.value for variable in model.trainable_variables]
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            if gradient is not None:
                variable.assign_sub(rate * gradient)

    options = {"ponder_weight": 0.5, "weight_decay": 1e-2, "units": (1, 2)}
    weights = []
    for train in (by_fit, by_losses, by_forward):
        model = make_classifier("imagenet", halting, **options)
        train(model)
        weights.append(model.get_weights())
    assert_same(weights[0], weights[1], 1e-5)
    assert_same(weights[0], weights[2], 1e-5)
    without = make_classifier("imagenet", halting, **{**options, "ponder_weight": 0.0})
    by_fit(without)
    moved = [
        not np.allclose(a, b, atol=1e-4)
        for a, b in zip(weights[0], without.get_weights(), strict=True)
    ]
    assert any(moved), "the ponder loss moves nothing"


def test_losses_are_those_of_the_last_call():
    model = make_classifier(weight_decay=0.0)
    for _ in range(3):
        model(images(4), training=True)
    assert len(model.losses) == 2
    traced = tf.function(lambda batch: (model(batch), tf.add_n(model.losses))[1])
    traced(images(2))
    np.testing.assert_allclose(
        traced(images(4)), model.forward(images(4))["ponder_loss"], rtol=1e-4
    )


@pytest.mark.parametrize("net", NAMES)
@pytest.mark.parametrize("halting", [None, "act", "sact"])
def test_ponder_report(net, halting):
    model = make_classifier(net, halting)
    batch = images(2, 33, 20)
    report = model.ponder(batch)
    forward = model.forward(batch)
    assert_same(report["logits"], forward["logits"])
    assert_same(report["flops"], forward["flops"])
    total = 0
    for name, stride in model.backbone.strides.items():
        assert_same(report[name], forward["halting"][name])
        cost = report[name]["ponder_cost"].numpy()
        if halting == "sact":
            rows = np.arange(33) * cost.shape[1] // 33
            columns = np.arange(20) * cost.shape[2] // 20
            assert cost.shape == (2, -(-33 // stride), -(-20 // stride))
            cost = cost[:, rows][:, :, columns]
        total = total + cost
    assert report["ponder_cost_map"].shape == ((2, 33, 20) if halting == "sact" else (2, 1, 1))
    np.testing.assert_allclose(report["ponder_cost_map"], total, rtol=1e-6)
    assert_same(tf.function(model.ponder)(batch), report)


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_set_ponder_weight_needs_no_new_trace(halting):
    model = compile_model(make_classifier("imagenet", halting, weight_decay=0.0), 0.0)
    traces = []
    call = model.backbone.blocks[0].call

    def counted(*args, **kwargs):
        traces.append(1)
        return call(*args, **kwargs)

    model.backbone.blocks[0].call = counted
    batch = images(4)
    logs = []
    for weight in (0.01, 0.02, 0.0):
        sact_tf.set_ponder_weight(model, weight)
        logs.append(model.evaluate(batch, LABELS, verbose=0, return_dict=True))
        if weight == 0.01:
            count = len(traces)
    assert len(traces) == count > 0
    np.testing.assert_allclose(logs[1]["ponder_loss"], 2 * logs[0]["ponder_loss"], rtol=1e-5)
    assert logs[2]["ponder_loss"] == 0
    difference = logs[1]["loss"] - logs[2]["loss"]
    np.testing.assert_allclose(difference, logs[1]["ponder_loss"], rtol=1e-3)
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="ponder_weight"):
            sact_tf.set_ponder_weight(model, bad)


def test_fit_evaluate_and_predict_take_images_in_every_form():
    _, batch, valid = padded_batch([(24, 20), (13, 17), (8, 20), (24, 6)], 24, 20)
    labels = np.arange(4)
    named = {"image": batch, "valid": valid}
    data = tf.data.Dataset.from_tensor_slices(
        {**named, "label": labels, "name": ["a", "b", "c", "d"]}
    ).batch(4)
    before = make_classifier().get_weights()
    expected = compile_model(make_classifier()).get_weights()
    trained = {}
    for form, arguments in {"dict": (named, labels), "data set": (data,)}.items():
        model = compile_model(make_classifier())
        logits = model(batch, valid=valid)
        assert_same(model.predict(arguments[0], verbose=0), logits, 1e-5)
        logs = model.evaluate(*arguments, verbose=0, return_dict=True)
        entropy = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        np.testing.assert_allclose(logs["cross_entropy"], np.mean(entropy), rtol=1e-5)
        model.fit(*arguments, shuffle=False, verbose=0)
        trained[form] = model.get_weights()
    assert_same(expected, before, 0)
    assert np.isfinite(np.concatenate([weight.ravel() for weight in trained["dict"]])).all()
    assert not np.array_equal(trained["dict"][0], before[0])
    assert_same(trained["data set"], trained["dict"], 1e-6)
    listed, plain = (compile_model(make_classifier()) for _ in range(2))
    listed.fit([images(4)], labels, shuffle=False, verbose=0)
    plain.fit(images(4), labels, shuffle=False, verbose=0)
    assert_same(listed.get_weights(), plain.get_weights(), 1e-6)
    with pytest.raises(ValueError, match="'image' and 'label', received a dict without 'label'"):
        plain.fit({"image": images(4)}, verbose=0)
    with pytest.raises(ValueError, match="received images without labels"):
        plain.fit(images(4), verbose=0)


def test_gradients_at_features_inside():
    """Grad-CAM as it is done with any functional model."""
    model = make_classifier()
    inside = keras.Model(model.inputs, [model.backbone.features["block2"], model.output])
    with tf.GradientTape() as tape:
        features, logits = inside(images())
        score = logits[:, 1]
    assert_same(logits, model(images()), 1e-6)
    assert_same(features, model.backbone(images())["block2"], 1e-6)
    assert float(tf.norm(tape.gradient(score, features))) > 1e-3
    assert [layer.name for layer in model.layers] == ["image", "backbone", "head"]


def test_inference_follows_training_with_the_defaults():
    """An easy task: after a few steps `evaluate` sees what `fit` has learned."""
    backbone = ResNetBackbone((1, 1), base_channels=4, stem_channels=4, stem="cifar")
    model = compile_model(ImageClassifier(backbone, 2), metrics=["accuracy"])
    labels = np.arange(32) % 2
    batch = images(32, 12, 12) + 2.0 * labels[:, None, None, None].astype("float32")
    model.fit(batch, labels, batch_size=32, epochs=40, verbose=0)
    assert model.evaluate(batch, labels, verbose=0, return_dict=True)["accuracy"] == 1.0


def test_ponder_weight_is_no_weight():
    with_tau, without = make_classifier(), make_classifier(halting=None)
    assert not any("ponder" in variable.path for variable in with_tau.variables)
    halting = sum(
        score.count_params() for block in with_tau.backbone.blocks for score in block.halting_scores
    )
    assert with_tau.count_params() == without.count_params() + halting


def test_set_execution_errors():
    model = make_classifier()
    with pytest.raises(ValueError, match="execution.*'masked'.*execution='lazy'"):
        sact_tf.set_execution(model, "lazy")
    plain = keras.Sequential([keras.layers.Dense(2)], name="plain")
    for function, value in ((sact_tf.set_execution, "masked"), (sact_tf.set_ponder_weight, 0.1)):
        with pytest.raises(ValueError, match="adaptive blocks.*plain"):
            function(plain, value)
    assert sact_tf.set_execution(model, "masked") is model


def test_set_execution_drops_compiled_functions_of_a_wrapper():
    model = make_classifier()
    wrapper = keras.Sequential([model])
    wrapper.predict(images(), verbose=0)
    assert wrapper.predict_function is not None
    sact_tf.set_execution(wrapper, "masked")
    assert wrapper.predict_function is None


@pytest.mark.parametrize("net", NAMES)
def test_head(net):
    """ImageNet: normalize, ReLU, pool. CIFAR: pool, normalize, leaky ReLU."""
    model = make_classifier(net, dtype="float64")
    outputs = model.forward(images(3).astype("float64"))
    features = outputs["features"]["block2"].numpy()
    gamma, beta, mean, variance = model.postnorm.get_weights()
    epsilon = 1e-5 if net == "imagenet" else 1e-3

    def normalize(maps):
        maps = (maps - mean) / np.sqrt(variance + epsilon) * gamma + beta
        return np.where(maps > 0, maps, maps * (0.0 if net == "imagenet" else 0.1))

    if net == "imagenet":
        pooled = normalize(features).mean(axis=(1, 2))
    else:
        pooled = normalize(features.mean(axis=(1, 2)))
    kernel, bias = model.logits.get_weights()
    np.testing.assert_allclose(outputs["logits"], pooled @ kernel[0, 0] + bias, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"num_classes": 0}, ["num_classes", "positive int", "0"]),
        ({"num_classes": 2.0}, ["num_classes", "positive int", "2.0"]),
        ({"num_classes": True}, ["num_classes", "positive int", "True"]),
        ({"num_classes": 3, "class_names": ["a", "b"]}, ["class", "3", "2"]),
    ],
)
def test_bad_arguments(arguments, words):
    backbone = ResNetBackbone((1,), base_channels=4, stem_channels=4)
    with pytest.raises(ValueError) as error:
        ImageClassifier(backbone, **arguments)
    for word in words:
        assert word in str(error.value)
