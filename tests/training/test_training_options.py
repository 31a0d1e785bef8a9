"""Gradient accumulation, clipping, averaged weights, precision: their effect on a run."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.training.classification import builders
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.classification.task import ClassificationTask
from sact_tf.training.classification.trainer import cross_entropy
from sact_tf.training.config.loading import unlocked_copy
from tests.training import running

RATE = 0.05


@pytest.fixture
def prepare(prepare):
    """As everywhere, of one step."""
    one_step = "train.steps=1,train.log_every=1,train.learning_rate.schedule=constant"
    return functools.partial(prepare, one_step)


def _gradients(model, batch):
    """Loss and gradients, written out here."""
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = model.forward(batch["image"], training=True)
        entropy = tf.reduce_mean(cross_entropy(outputs["logits"], batch["label"]))
        decay = sum(
            0.5e-4 * tf.reduce_sum(weight.value**2)
            for weight in variables
            if weight.path.endswith("kernel")
        )
        loss = entropy + outputs["ponder_loss"] + decay
    return float(loss), [gradient.numpy() for gradient in tape.gradient(loss, variables)]


def _assert_step(run, reference, start, gradients):
    run.train(evaluates=False)
    for weight, before, gradient in zip(
        run.model.trainable_variables, start, gradients, strict=True
    ):
        expected = before - RATE * gradient
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-4, atol=1e-6)
    for weight, other in zip(
        run.model.non_trainable_variables, reference.non_trainable_variables, strict=True
    ):
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)
    (record,) = [json.loads(line) for line in run.directory.history.open()]
    return record


def test_accumulated_gradients_are_the_mean_over_the_parts(prepare):
    run = prepare("train.gradient_accumulation=2")
    reference = builders.build_model(run.config, run.data)
    start = [weight.numpy() for weight in reference.trainable_variables]
    # Batch statistics are those of a part, and move twice.
    parts = [_gradients(reference, part) for part in run.data.train(4, seed=0).take(2)]
    gradients = [np.mean(pair, axis=0) for pair in zip(*(g for _, g in parts), strict=True)]
    record = _assert_step(run, reference, start, gradients)
    assert record["loss"] == pytest.approx(np.mean([loss for loss, _ in parts]), rel=1e-5)
    assert run.step == 1


def test_long_gradients_are_shortened(prepare):
    run = prepare("train.gradient_clip_norm=0.01")
    reference = builders.build_model(run.config, run.data)
    start = [weight.numpy() for weight in reference.trainable_variables]
    _, gradients = _gradients(reference, next(iter(run.data.train(8, seed=0))))
    norm = np.sqrt(sum(np.sum(np.square(gradient)) for gradient in gradients))
    assert norm > 0.1
    shortened = [gradient * 0.01 / norm for gradient in gradients]
    record = _assert_step(run, reference, start, shortened)
    assert record["gradient_norm"] == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("statistics", ["averaged", "latest"])
def test_averaged_weights_are_evaluated_and_saved(prepare, statistics):
    average = f"train.weight_average={{decay: 0.3, moving_statistics: {statistics}}}"
    run = prepare(average, "train.steps=3,train.checkpoint_every=1,train.keep_checkpoints=9")
    expected = {weight.path: weight.numpy() for weight in run.model.weights}
    run.train(evaluates=True)
    trainable = {weight.path for weight in run.model.trainable_variables}
    for step in (1, 2, 3):
        reader = tf.train.load_checkpoint(str(run.directory.checkpoints / f"ckpt-{step}"))
        decay = min(0.3, (1 + step) / (10 + step))
        for path, before in expected.items():
            key = f"model/{path.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE"
            value = reader.get_tensor(key)
            keep = decay if path in trainable or statistics == "averaged" else 0.0
            expected[path] = keep * before + (1 - keep) * value
    last = {weight.path: weight.numpy() for weight in run.model.weights}
    assert any(np.abs(last[path] - expected[path]).max() > 1e-4 for path in trainable)

    metrics = run.evaluate()
    saved = keras.models.load_model(run.directory.model)
    run.directory.model.unlink()
    from_checkpoint = load_classifier(run.directory.path)
    for model in (saved, from_checkpoint):
        for weight in model.weights:
            np.testing.assert_allclose(weight.numpy(), expected[weight.path], atol=1e-6)
    for path, weight in last.items():  # training goes on from its own
        now = next(w for w in run.model.weights if w.path == path)
        np.testing.assert_array_equal(now.numpy(), weight)
    (batch,) = run.data.evaluation(30)
    logits = saved.ponder(batch["image"])["logits"]
    entropy = np.mean(cross_entropy(logits, batch["label"]))
    assert metrics["cross_entropy"] == pytest.approx(entropy, rel=1e-5)


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32(prepare):
    run = prepare("train.precision=mixed_bfloat16,train.weight_average={decay: 0.5}")
    assert all(weight.dtype == "float32" for weight in run.model.weights)
    batch = next(iter(run.data.train(8, seed=0)))
    outputs = run.model.forward(batch["image"], training=False)
    assert outputs["features"]["block2"].dtype == tf.bfloat16
    assert outputs["halting"]["block2"]["ponder_cost"].dtype == tf.float32
    assert outputs["logits"].dtype == tf.float32
    run.train(evaluates=True)
    (record,) = [json.loads(line) for line in run.directory.history.open()]
    config = unlocked_copy(run.config)
    config.train.precision = "float32"
    exact, _ = _gradients(builders.build_model(config, run.data), batch)
    assert record["loss"] == pytest.approx(exact, rel=0.02) and record["loss"] != exact
    assert keras.models.load_model(run.directory.model).dtype_policy.name == "mixed_bfloat16"


class _SlowData:
    """Data whose every training batch takes 0.5 s."""

    def __init__(self, data):
        self._data = data

    def __getattr__(self, name):
        return getattr(self._data, name)

    def train(self, *args):
        import time

        def wait(image, label):
            time.sleep(0.5)
            return image, label

        def slowly(batch):
            types = [batch["image"].dtype, batch["label"].dtype]
            image, label = tf.numpy_function(wait, [batch["image"], batch["label"]], types)
            return {
                "image": tf.ensure_shape(image, batch["image"].shape),
                "label": tf.ensure_shape(label, batch["label"].shape),
            }

        return self._data.train(*args).map(slowly)


class _SlowTask(ClassificationTask):
    def build_data(self):
        return _SlowData(super().build_data())


def test_waiting_for_data_is_measured_and_said(prepare, capsys):
    run = prepare("train.steps=8,train.log_every=4", task_class=_SlowTask)
    run.train(evaluates=False)
    metrics = running.read_metrics(run.directory.path)
    assert 0.3 < metrics["input_wait_share"] <= 1.0
    assert metrics["steps_per_second"] > 0
    assert metrics["examples_per_second"] == pytest.approx(8 * metrics["steps_per_second"], 1e-3)
    out = capsys.readouterr().out
    assert out.count("warning: training waits for data") == 1
    assert "examples/s" in out


def test_parts_must_divide_the_batch(prepare):
    with pytest.raises(UserError, match=r"train.batch_size: .* \(3\), received 8"):
        prepare("train.gradient_accumulation=3")
    with pytest.raises(UserError, match=r"train.batch_size: .* \(6\), received 8"):
        prepare(
            "train.gradient_accumulation=2,runtime.strategy=mirrored,runtime.replicas=3",
        )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("runtime.replicas=2", "runtime.replicas: must be null with strategy: one_device"),
        ("runtime.tpu=local", "runtime.tpu: must be null with strategy: one_device"),
        ("runtime.strategy=tpu", "runtime.tpu: strategy: tpu needs"),
        (
            "runtime={strategy: tpu, tpu: local},model.execution=tiled",
            "model.execution: strategy: tpu compiles static shapes; expected masked",
        ),
        ("runtime.strategy=multi_worker_mirrored", "needs the environment variable TF_CONFIG"),
        ("runtime.strategy=parameter_server", "expected one of one_device, mirrored"),
    ],
)
def test_runtimes_that_cannot_be(prepare, monkeypatch, overrides, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=message):
        prepare(overrides)


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": {"worker": ["a:1"]}}',
                                  '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}'])  # fmt: skip  # noqa: E501
def test_a_wrong_tf_config_is_shown(prepare, monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG: expected JSON such as"):
        prepare("runtime.strategy=multi_worker_mirrored")
