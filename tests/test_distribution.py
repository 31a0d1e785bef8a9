"""Losses, logs and weights of one training step on one device and on two replicas."""

import json

import numpy as np
import pytest

from tests.harness import run_python

KINDS = ("sact", "act")
PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf
replicas, synchronized = int(sys.argv[1]), sys.argv[2] == "sync"
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)])
import keras, sact_tf
from tests.models.networks import compile_model, images, make_classifier

batch, labels = images(4, 24, 24), np.arange(4)
data = tf.data.Dataset.from_tensor_slices((batch, labels)).batch(4)
options = dict(synchronized_batch_norm=synchronized, ponder_weight=0.5, weight_decay=1e-2,
               batch_norm_momentum=0.5, units=(1, 2))
strategy = tf.distribute.get_strategy()
if replicas > 1:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def weights_of(model):
    return [weight.ravel().tolist() for weight in model.get_weights()]

def parts_of(values):
    parts = np.split(values, strategy.num_replicas_in_sync)
    if len(parts) == 1:
        return tf.constant(values)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group]))

def run(halting):
    result = {"replicas": strategy.num_replicas_in_sync}
    with strategy.scope():
        model = compile_model(make_classifier("imagenet", halting, **options))
    start = model.get_weights()
    history = model.fit(data, epochs=1, verbose=0).history
    result["fit"] = {name: values[0] for name, values in history.items()}
    result["fit_weights"] = weights_of(model)
    result["evaluate"] = model.evaluate(data, verbose=0, return_dict=True)

    # Loops of one's own: every term from the outputs of `forward`, or from `model.losses`.
    with strategy.scope():
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)

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
    def train(images, labels, by_losses):
        return strategy.reduce("SUM", strategy.run(step, (images, labels, by_losses)), None)

    for name, by_losses in (("forward", False), ("losses", True)):
        model.set_weights(start)
        result[name] = float(train(parts_of(batch), parts_of(labels), by_losses))
        result[name + "_weights"] = weights_of(model)
    return result

print(json.dumps({halting: run(halting) for halting in sys.argv[3:]}))
"""


def train(replicas, synchronized, *kinds):
    """One subprocess: a synchronised and another model in one process fail in the collectives.

    Returns:
        Dict by kind of halting.
    """
    printed = run_python(PROGRAM, replicas, "sync" if synchronized else "apart", *kinds)
    results = json.loads(printed.strip().splitlines()[-1])
    assert {result["replicas"] for result in results.values()} == {replicas}
    return results


def assert_weights(first, second, atol):
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def check_parts(logs):
    parts = logs["cross_entropy"] + logs["ponder_loss"] + logs["weight_decay"]
    np.testing.assert_allclose(parts, logs["loss"], rtol=1e-4)


@pytest.fixture(scope="module")
def single():
    return train(1, False, *KINDS)


def test_one_device(single):
    """`fit`, a loop with `model.losses` and a loop with `forward`: same loss, same weights."""
    for result in single.values():
        check_parts(result["fit"])
        check_parts(result["evaluate"])
        for name in ("forward", "losses"):
            np.testing.assert_allclose(result[name], result["fit"]["loss"], rtol=1e-5)
            assert_weights(result[f"{name}_weights"], result["fit_weights"], 1e-4)


def test_two_replicas_with_synchronised_statistics(single):
    """All as on one device with the whole batch, by all three ways of training."""
    results = train(2, True, *KINDS)
    for kind, expected in single.items():
        result = results[kind]
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


def test_two_replicas_with_statistics_apart():
    """Batch statistics differ from one device's; the three ways still agree with each other."""
    (result,) = train(2, False, "sact").values()
    check_parts(result["fit"])
    check_parts(result["evaluate"])
    for name in ("forward", "losses"):
        np.testing.assert_allclose(result[name], result["fit"]["loss"], rtol=1e-5)
        assert_weights(result[f"{name}_weights"], result["fit_weights"], 1e-4)
