"""Where the weights of a `keras.applications` network come from: a name, a model or a file."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from sact_tf import paths
from sact_tf.errors import UserError
from sact_tf.models.depths import units_of_depth
from sact_tf.models.keras_application.form import Weights, form_of

IMAGENET = "imagenet"
DEPTHS = {"ResNet50V2": 50, "ResNet101V2": 101, "ResNet152V2": 152}
# Each unit has three batch normalizations, and one stands at the end.
_NORMALIZATIONS = {3 * sum(units_of_depth(depth)) + 1: name for name, depth in DEPTHS.items()}


def read_source(source: str | os.PathLike | keras.Model, weights: str | None) -> Weights:
    """Arrays of each layer by its name.

    Args:
        source: a name of `DEPTHS`, a model, or the path of a file of one.
        weights: for a name: "imagenet" (Keras downloads them), None (random) or the path of a file
            with the weights of that network.

    Raises:
        UserError: there is no such file, it holds something else, or nothing can be downloaded.
        ValueError: `weights` is given beside a model or a file.
    """
    if isinstance(source, str) and source in DEPTHS:
        return _of_name(source, weights)
    if weights != IMAGENET:
        raise ValueError(
            f"Expected weights to be left out beside a model or a file, received {weights!r}"
        )
    if isinstance(source, keras.Model):
        return _of_model(source)
    try:
        file = paths.find_input(source)
    except UserError as error:
        raise UserError(
            f"expected {', '.join(DEPTHS)}, a model or the path of a file of one; {error}"
        ) from None
    return _of_file(file)


def _of_name(name: str, weights: str | None) -> Weights:
    if weights == IMAGENET:
        try:
            return _of_model(_build(name, weights=IMAGENET))
        except Exception as error:  # Keras raises nothing more special.
            raise UserError(
                f"{name}: its ImageNet weights cannot be downloaded ({error}); where there is no "
                "network, download that file elsewhere and give its path: --weights=FILE, or "
                f"train.warm_start=keras:{name}:FILE"
            ) from None
    if weights is None:
        return _of_model(_build(name, weights=None))
    arrays = _of_file(weights)
    found = form_of(arrays)
    if found.units != units_of_depth(DEPTHS[name]):
        raise UserError(f"{weights}: expected the weights of {name}, found those of {found.title}")
    return arrays


def _of_model(model: keras.Model) -> Weights:
    return {layer.name: layer.get_weights() for layer in model.layers}


def _of_file(path: str | os.PathLike) -> Weights:
    import h5py

    file = paths.find_input(path)
    with _explained(file):
        if file.suffix == ".keras":
            return _of_model(keras.models.load_model(file, compile=False, safe_mode=True))
        with h5py.File(file) as content:
            group = content.get("model_weights", content)
            if "layer_names" in group.attrs:
                return _by_layer(group)
            name, top = _network_of(content)
        # Layers have no names in these files: only the network knows which is which.
        model = _build(name, include_top=top is not None, weights=None, classes=top or 1)
        model.load_weights(file)
        return _of_model(model)


@contextlib.contextmanager
def _explained(file: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: cannot be read as a file of Keras weights ({error})") from None


def _by_layer(group: Any) -> Weights:
    """Arrays in the format of the files that Keras downloads."""
    return {
        _text(layer): [np.array(group[layer][name]) for name in group[layer].attrs["weight_names"]]
        for layer in group.attrs["layer_names"]
    }


def _network_of(content: Any) -> tuple[str, int | None]:
    """Name and classes (None without a top) of what a `.weights.h5` file holds."""
    layers = content.get("layers", {})
    count = sum(name.startswith("batch_normalization") for name in layers)
    if count not in _NORMALIZATIONS:
        raise UserError(
            f"expected the weights of {', '.join(DEPTHS)} (with {sorted(_NORMALIZATIONS)} batch "
            f"normalizations), found {count}; of another network give the model or a .keras file"
        )
    top = layers.get("dense/vars/0")
    return _NORMALIZATIONS[count], None if top is None else int(top.shape[-1])


def _build(name: str, **options: Any) -> keras.Model:
    return getattr(keras.applications, name)(classifier_activation=None, **options)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
