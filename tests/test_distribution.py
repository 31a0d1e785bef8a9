"""Losses, logs and weights of one training step on one device and on two replicas."""

import json

import numpy as np
import pytest

from tests.harness import run_python

PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf
replicas, synchronized, halting = int(sys.argv[1]), sys.argv[2] == "sync", sys.argv[3]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)])
import keras, sact_tf
from tests.models.networks import compile_model, images, make_classifier

batch, labels = images(4, 24, 24), np.arange(4)
options = dict(synchronized_batch_norm=synchronized, ponder_weight=0.5, weight_decay=1e-2,
               batch_norm_momentum=0.5)
if replicas == 1:
    strategy = tf.distribute.get_strategy()
else:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

result = {"replicas": strategy.num_replicas_in_sync}
with strategy.scope():
    model = compile_model(make_classifier("imagenet", halting, **options))
data = tf.data.Dataset.from_tensor_slices((batch, labels)).batch(4)
result["fit"] = {k: v[0] for k, v in model.fit(data, epochs=1, verbose=0).history.items()}
result["fit_weights"] = [np.asarray(w).ravel().tolist() for w in model.get_weights()]
result["evaluate"] = model.evaluate(data, verbose=0, return_dict=True)

# The training program's way: forward() under strategy.run, every term from its outputs.
with strategy.scope():
    model = make_classifier("imagenet", halting, **options)
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
losses = []

def step(images, labels, by_losses):
    with tf.GradientTape() as tape:
        if by_losses:
            logits = model(images, training=True)
            added = tf.add_n(model.losses)
        else:
            outputs = model.forward(images, training=True)
            logits = outputs["logits"]
            added = outputs["ponder_loss"] + sact_tf.weight_decay_loss(model)
        entropy = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        loss = (entropy + added) / strategy.num_replicas_in_sync
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss

@tf.function
def run(images, labels, by_losses):
    return strategy.reduce("SUM", strategy.run(step, (images, labels, by_losses)), None)

start = model.get_weights()
def distributed(values):
    parts = np.split(values, strategy.num_replicas_in_sync)
    if len(parts) == 1:
        return tf.constant(values)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group]))

for name, by_losses in (("forward", False), ("losses", True)):
    model.set_weights(start)
    result[name] = float(run(distributed(batch), distributed(labels), by_losses))
    result[name + "_weights"] = [np.asarray(w).ravel().tolist() for w in model.get_weights()]
print(json.dumps(result))
"""


def train(replicas, synchronized, halting):
    """One subprocess: a synchronised and another model in one process fail in the collectives."""
    printed = run_python(PROGRAM, replicas, "sync" if synchronized else "apart", halting)
    result = json.loads(printed.strip().splitlines()[-1])
    assert result["replicas"] == replicas
    return result


def assert_weights(first, second, atol):
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def check_parts(logs):
    parts = logs["cross_entropy"] + logs["ponder_loss"] + logs["weight_decay"]
    np.testing.assert_allclose(parts, logs["loss"], rtol=1e-4)


@pytest.fixture(scope="module", params=["sact", "act"])
def single(request):
    return request.param, train(1, False, request.param)


def test_one_device(single):
    """`fit`, a loop with `model.losses` and a loop with `forward`: same loss, same weights."""
    _, result = single
    check_parts(result["fit"])
    check_parts(result["evaluate"])
    for name in ("forward", "losses"):
        np.testing.assert_allclose(result[name], result["fit"]["loss"], rtol=1e-5)
        assert_weights(result[f"{name}_weights"], result["fit_weights"], 1e-5)


def test_two_replicas_with_synchronised_statistics(single):
    """All as on one device with the whole batch, by all three ways of training."""
    halting, expected = single
    result = train(2, True, halting)
    check_parts(result["fit"])
    check_parts(result["evaluate"])
    for name, value in expected["fit"].items():
        np.testing.assert_allclose(result["fit"][name], value, rtol=1e-4, err_msg=name)
    for name, value in expected["evaluate"].items():
        np.testing.assert_allclose(result["evaluate"][name], value, rtol=1e-3, err_msg=name)
    for name in ("forward", "losses"):
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-4)
    for name in ("fit", "forward", "losses"):
        assert_weights(result[f"{name}_weights"], expected[f"{name}_weights"], 1e-4)


def test_two_replicas_with_statistics_apart(single):
    """Batch statistics differ from one device's; the three ways still agree with each other."""
    halting, _ = single
    result = train(2, False, halting)
    check_parts(result["fit"])
    check_parts(result["evaluate"])
    for name in ("forward", "losses"):
        np.testing.assert_allclose(result[name], result["fit"]["loss"], rtol=1e-5)
        assert_weights(result[f"{name}_weights"], result["fit_weights"], 1e-5)
