"""Networks of the ResNet V2 form, built by the functions of `keras.applications` itself."""

import keras
import numpy as np
from keras.src.applications import resnet

SIZE = (65, 97)


def keras_network(units=(2, 3), base_channels=4, size=SIZE, classes=5, top=True, seed=0):
    """A random network of few units, statistics of batch normalizations included."""

    def stages(maps):
        for stage, number in enumerate(units):
            maps = resnet.stack_residual_blocks_v2(
                maps,
                base_channels * 2**stage,
                number,
                stride1=1 if stage == len(units) - 1 else 2,
                name=f"conv{stage + 2}",
            )
        return maps

    model = resnet.ResNet(
        stages,
        preact=True,
        use_bias=True,
        include_top=top,
        weights=None,
        input_shape=(*size, 3),
        classes=classes,
        classifier_activation=None,
    )
    return randomized(model, seed)


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if variable.name == "kernel":
            value = rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
        elif variable.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, size=shape)
        else:
            value = rng.normal(size=shape) * 0.3
        variable.assign(value)
    return model


def stage_features(model, units):
    """The Keras model's maps before each stride, and at its end."""
    last = len(units) - 1
    names = [
        f"conv{stage + 2}_block{number - (stage < last)}_out" for stage, number in enumerate(units)
    ]
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


def convolution_flops(model):
    """Operations of each convolution and of the top, by name, from the shapes of the layers."""
    flops = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            positions = np.prod(layer.output.shape[1:-1], dtype=int)
            flops[layer.name] = 2 * int(positions * np.prod(layer.kernel.shape))
    return flops


def pictures(batch=2, size=SIZE, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, [batch, *size, 3]).astype("float32")
