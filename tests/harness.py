"""What every layer and model of a Keras package must be able to do, and helpers of the tests."""

import inspect
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parent.parent


def randomize(layer, seed=0):
    """Draws every weight of a built layer at random, so that no zero or one hides a mistake.

    Scales keep activations near one through tens of layers; variances stay positive. The halting
    scores spread over (0, 1): positions then halt at many different units.
    """
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        shape = tuple(variable.shape)
        if variable.name == "kernel":
            halting = "halting_score" in variable.path
            value = rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1])) * (2 if halting else 1)
        elif variable.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, size=shape)
        elif "halting_score" in variable.path and variable.name == "bias":
            value = variable.numpy()  # the halting bias is the test's choice
        else:
            value = rng.normal(size=shape) * 0.3
        variable.assign(value.astype(np.dtype(str(variable.dtype)), copy=False))
    return layer


def padded_batch(sizes, height, width, channels=3, fill=np.nan, seed=0, dtype="float32"):
    """Images of the given sizes, the same padded to one batch with `fill`, and its valid map.

    Returns:
        `(images, batch, valid)`: list of [h, w, C], [B, height, width, C], bool [B, height, width].
    """
    rng = np.random.default_rng(seed)
    images = [rng.normal(size=[*size, channels]).astype(dtype) for size in sizes]
    batch = np.full([len(sizes), height, width, channels], fill, dtype)
    valid = np.zeros([len(sizes), height, width], bool)
    for index, (rows, columns) in enumerate(sizes):
        batch[index, :rows, :columns] = images[index]
        valid[index, :rows, :columns] = True
    return images, batch, valid


def run_python(code, *arguments, blocked=(), timeout=300):
    """Runs Python code in a new process and returns what it printed.

    Args:
        code: the program; finds `sact_tf` and `tests`.
        *arguments: become `sys.argv[1:]`.
        blocked: names of packages that the process must not be able to import.
        timeout: seconds.
    """
    if blocked:
        lines = [
            "import sys",
            f"for name in {tuple(blocked)!r}:",
            "    sys.modules[name] = None",
        ]
        code = "\n".join(lines) + "\n" + code
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def check_config(make):
    """`make()` returns a layer built with NON-default arguments; nothing of them may be lost."""
    layer = make()
    config = layer.get_config()
    parameters = {}
    for kind in reversed(type(layer).mro()):
        if kind.__module__.startswith("sact_tf.") and "__init__" in vars(kind):
            parameters.update(inspect.signature(kind.__init__).parameters)
    arguments = {
        name
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind.name not in ("VAR_POSITIONAL", "VAR_KEYWORD")
    }
    assert arguments <= set(config), f"not in get_config: {sorted(arguments - set(config))}"
    for name in arguments:
        default = parameters[name].default
        if default is not inspect.Parameter.empty and name not in ("dtype", "trainable"):
            assert config[name] != default, f"the test leaves {name} at its default {default!r}"
    # Through JSON, as files do: a config that shares objects with the layer would hide a loss.
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    restored = keras.saving.deserialize_keras_object(json.loads(text))
    again = restored.get_config()
    lost = {
        name: (config[name], again.get(name)) for name in config if again.get(name) != config[name]
    }
    assert not lost, f"before and after: {lost}"
    assert restored is not layer
    return restored


def outputs_of(result):
    """The tensors of a result, flat."""
    return [np.asarray(tensor) for tensor in keras.tree.flatten(result)]


def assert_same(first, second, tolerance=1e-5):
    """Equal structure, dtype-exact integers, floats within `tolerance` of the largest magnitude."""
    first, second = outputs_of(first), outputs_of(second)
    assert len(first) == len(second)
    for ours, theirs in zip(first, second, strict=True):
        assert ours.shape == theirs.shape
        if np.issubdtype(theirs.dtype, np.integer):
            np.testing.assert_array_equal(ours, theirs)
        else:
            scale = max(1.0, float(np.max(np.abs(theirs), initial=0)))
            np.testing.assert_allclose(
                ours.astype("float64"), theirs.astype("float64"), rtol=0, atol=tolerance * scale
            )


def check_layer(make, inputs, tolerance=1e-5):
    """Build, symbolic, eager, traced and compiled calls, a `fit` step, mixed precision.

    Args:
        make: function of keyword arguments for the layer (`dtype=` at least) that returns a new
            layer, every argument of it away from its default.
        inputs: float32 [B, H, W, C].
    """
    layer = make()
    symbolic = layer(keras.KerasTensor((None, None, None, inputs.shape[-1])))
    assert layer.built
    randomize(layer, seed=1)
    eager = layer(inputs)
    for spec, tensor in zip(keras.tree.flatten(symbolic), keras.tree.flatten(eager), strict=True):
        assert len(spec.shape) == len(tensor.shape)
        for declared, actual in zip(spec.shape, tensor.shape, strict=True):
            assert declared in (None, actual)
        assert keras.backend.standardize_dtype(tensor.dtype) == spec.dtype
    assert_same(tf.function(layer)(inputs), eager, tolerance)
    assert_same(tf.function(layer, jit_compile=True)(inputs), eager, tolerance)
    _check_fit(make(), inputs)
    mixed = make(dtype="mixed_bfloat16")
    for tensor in keras.tree.flatten(_check_fit(mixed, inputs)):
        assert np.isfinite(np.asarray(tensor).astype("float64")).all()
    for variable in mixed.weights:
        assert variable.dtype == "float32"
    return layer


def _check_fit(layer, inputs):
    """One step of `fit` with the layer inside a functional model; every weight gets a gradient."""
    image = keras.Input((None, None, inputs.shape[-1]))
    first = keras.tree.flatten(layer(image))[0]
    pooled = first
    if len(first.shape) == 4:
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(first)
    elif len(first.shape) == 3:
        pooled = keras.layers.Lambda(lambda maps: keras.ops.mean(maps, axis=[1, 2]))(first)
        pooled = keras.layers.Reshape((1,))(pooled)
    model = keras.Model(image, keras.layers.Dense(1, dtype="float32")(pooled))
    model.compile("sgd", "mse")
    before = [variable.numpy() for variable in model.trainable_variables]
    loss = model.fit(inputs, np.arange(len(inputs)), epochs=1, verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    changed = [
        not np.array_equal(old, new.numpy())
        for old, new in zip(before, model.trainable_variables, strict=True)
    ]
    assert np.mean(changed) > 0.5
    return layer(inputs)
