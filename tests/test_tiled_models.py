"""Executions of whole models: golden cases, fit, XLA, replicas, exports, precision."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from tests.golden_case import load_case
from tests.harness import run_python
from tests.models.networks import compile_model, images, make_classifier

HALTING_CASES = ["imagenet_sact_f64", "imagenet_act", "cifar_sact", "cifar_act"]


@pytest.mark.parametrize("execution", ["tiled", "auto"])
@pytest.mark.parametrize("name", HALTING_CASES)
def test_golden_cases(golden, name, execution):
    """The authors' own numbers, by the same weights."""
    case = load_case(golden, name)
    sact_tf.set_execution(case.model, execution)
    outputs = tf.function(case.model.forward)(tf.constant(case.images))
    case.assert_close(outputs["logits"], "logits")
    case.assert_equal(outputs["flops"], "flops")
    for block, scope in case.scopes.items():
        halting = outputs["halting"][block]
        case.assert_close(outputs["features"][block], f"{scope}/out")
        case.assert_close(halting["ponder_cost"], f"{scope}/ponder_cost")
        case.assert_close(halting["halting_distribution"], f"{scope}/halting_distribution")
        case.assert_equal(halting["num_units"], f"{scope}/num_units")
        case.assert_equal(halting["flops"], f"{scope}/flops")


@pytest.mark.parametrize("halting", ["sact", "act"])
@pytest.mark.parametrize("net", ["imagenet", "cifar"])
def test_fit_gives_the_weights_of_masked_training(net, halting):
    batch, labels = images(4, 24, 20), np.arange(4)
    weights, logs = {}, {}
    for execution in ("masked", "tiled", "auto"):
        model = make_classifier(net, halting, execution=execution, statistics="evaluated")
        compile_model(model, learning_rate=0.01)
        history = model.fit(batch, labels, batch_size=4, epochs=2, verbose=0).history
        logs[execution] = {name: values[-1] for name, values in history.items()}
        weights[execution] = model.get_weights()
    for execution in ("tiled", "auto"):
        assert logs[execution] == pytest.approx(logs["masked"], rel=1e-4)
        for received, expected in zip(weights[execution], weights["masked"], strict=True):
            np.testing.assert_allclose(received, expected, atol=1e-4 * (1 + np.abs(expected).max()))


def test_switching_a_trained_model_and_saving_it(tmp_path):
    model = make_classifier("imagenet", tile_size=2, statistics="evaluated")
    batch = images(3, 33, 40)
    expected = model.predict(batch, verbose=0)
    sact_tf.set_execution(model, "auto")
    np.testing.assert_allclose(model.predict(batch, verbose=0), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [block.execution for block in loaded.backbone.blocks] == ["auto", "auto"]
    np.testing.assert_allclose(loaded.predict(batch, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize(("net", "tile_size"), [("imagenet", 1), ("cifar", 8)])
def test_mixed_bfloat16_trains(net, tile_size):
    model = make_classifier(net, tile_size=tile_size, dtype="mixed_bfloat16", execution="tiled")
    batch = images(4, 24, 20)
    sact_tf.set_execution(model, "masked")
    expected = model.forward(batch)
    sact_tf.set_execution(model, "tiled")
    received = model.forward(batch)
    for block, halting in expected["halting"].items():
        ours = received["halting"][block]
        assert ours["ponder_cost"].dtype == tf.float32
        np.testing.assert_allclose(ours["num_units"], halting["num_units"], atol=1)
    np.testing.assert_allclose(received["logits"], expected["logits"], atol=0.1)
    compile_model(model, learning_rate=0.01)
    history = model.fit(batch, np.arange(4), batch_size=4, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])


def test_keras_falls_back_where_xla_was_asked_for():
    model = make_classifier("cifar", execution="tiled")
    with pytest.warns(UserWarning, match="jit_compile"):
        compile_model(model, jit_compile=True)
    assert model.jit_compile is False


def test_static_training_compiled_by_xla_gives_the_weights_of_masked_training():
    batch, labels, weights = images(4, 24, 20), np.arange(4), {}
    for execution in ("masked", "static"):
        model = make_classifier(
            "imagenet", execution=execution, statistics="evaluated", capacities=0.25
        )
        compile_model(model, learning_rate=0.01, jit_compile=execution == "static")
        assert model.jit_compile is (execution == "static")
        model.fit(batch, labels, batch_size=4, epochs=2, verbose=0)
        weights[execution] = model.get_weights()
    for received, expected in zip(weights["static"], weights["masked"], strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-4 * (1 + np.abs(expected).max()))


SERVE = """
import sys, pathlib
import numpy as np, tensorflow as tf
folder = pathlib.Path(sys.argv[1])
for execution in ("tiled", "auto"):
    serve = tf.saved_model.load(str(folder / execution)).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    for index in range(3):
        batch = tf.constant(np.load(folder / f"images{index}.npy"))
        (logits,) = serve(**{name: batch}).values()
        np.save(folder / f"{execution}{index}.npy", logits)
"""


@pytest.mark.parametrize(
    ("net", "tile_size", "form"), [("imagenet", 1, "rows"), ("cifar", 8, "windows")]
)
def test_saved_models_where_nothing_is_installed(tmp_path, net, tile_size, form):
    """Free batch and image size, number of rows or windows found inside the graph."""
    model = make_classifier(net, tile_size=tile_size, statistics="evaluated")
    for block in model.backbone.blocks:
        assert list(block.costs.candidates(tile_size)) == [form]
    batches = [images(1, 16, 16), images(3, 33, 21), images(2, 40, 8)]
    expected = [model(batch) for batch in batches]
    for index, batch in enumerate(batches):
        np.save(tmp_path / f"images{index}.npy", batch)
    for execution in ("tiled", "auto"):
        sact_tf.set_execution(model, execution)
        tf.saved_model.save(model, str(tmp_path / execution))
    run_python(SERVE, tmp_path, blocked=["keras", "tf_keras", "sact_tf"])
    for index, logits in enumerate(expected):
        for execution in ("tiled", "auto"):
            received = np.load(tmp_path / f"{execution}{index}.npy")
            np.testing.assert_allclose(received, logits, atol=1e-5)


REPLICAS = """
import json, sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)])
from tests.models.networks import compile_model, images, make_classifier
execution, synchronized, empty = sys.argv[1], sys.argv[2] == "sync", sys.argv[3] == "empty"
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    # With a bias of 20 every position halts after the first unit: no row is active in any replica.
    model = compile_model(make_classifier(
        "imagenet", execution=execution, statistics="evaluated", batch_norm_momentum=0.5,
        halting_bias=20.0 if empty else -0.5, synchronized_batch_norm=synchronized), 0.01)
data = tf.data.Dataset.from_tensor_slices((images(4, 24, 24), np.arange(4))).batch(4)
history = model.fit(data, epochs=2, verbose=0).history
print(json.dumps({"logs": {k: v[-1] for k, v in history.items()},
                  "weights": [np.asarray(w).ravel().tolist() for w in model.get_weights()]}))
"""


@pytest.mark.large
@pytest.mark.parametrize("case", [("sync", "some"), ("apart", "empty")], ids=lambda case: case[0])
def test_two_replicas(case):
    results = {
        execution: json.loads(run_python(REPLICAS, execution, *case).splitlines()[-1])
        for execution in ("masked", "tiled", "auto")
    }
    expected = results.pop("masked")
    assert np.all(np.isfinite(np.concatenate(expected["weights"])))
    for received in results.values():
        assert received["logs"] == pytest.approx(expected["logs"], rel=1e-4)
        for ours, theirs in zip(received["weights"], expected["weights"], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4 * (1 + np.max(np.abs(theirs))))


INFERENCE_ON_REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)])
import sact_tf
from tests.layers.scripted_score import BOTH, taking
from tests.models.networks import images, make_classifier
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = make_classifier("cifar")
# The second replica's images have next to nothing in them, and halt elsewhere.
batch = images(4, 24, 20) * np.array([1, 2, 0.01, 0]).reshape(4, 1, 1, 1)
parts = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(
        np.split(batch, 2)[context.replica_id_in_sync_group], tf.float32))

def run(execution, window=None):
    sact_tf.set_execution(sact_tf.set_costs(model, taking(window)), execution)
    def step(images):
        outputs = model.forward(images, training=False)
        halting = outputs["halting"]["block2"]
        return outputs["logits"], outputs["flops"], halting["num_units"], halting["ponder_cost"]
    compiled = tf.function(lambda images: strategy.run(step, (images,)))
    return [np.concatenate(strategy.experimental_local_results(o)) for o in compiled(parts)]

expected = run("masked")
assert len(np.unique(expected[2])) > 1
for execution, window in (("tiled", 4), ("auto", BOTH)):
    for ours, theirs in zip(run(execution, window), expected, strict=True):
        if ours.dtype.kind == "i":
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
print("as masked")
"""


@pytest.mark.large
def test_inference_on_two_replicas():
    assert run_python(INFERENCE_ON_REPLICAS).splitlines()[-1] == "as masked"
