"""Which layers inside a model are not trained, as paths that a configuration can hold."""

from collections.abc import Iterable

import keras


def frozen_paths(layers: Iterable[keras.layers.Layer], prefix: str = "") -> list[str]:
    """Paths of all layers that are not trained, each without what is inside it.

    Args:
        layers: the layers to look through, each with what is inside it.
        prefix: of the paths.

    Returns:
        List of str as `block1/unit_2/bn1`: names, from outside to inside.
    """
    paths = []
    for layer in dict.fromkeys(layers):
        path = prefix + layer.name
        if not layer.trainable:
            paths.append(path)
        else:
            paths += frozen_paths(layer._layers, path + "/")
    return paths


def freeze(layers: Iterable[keras.layers.Layer], paths: Iterable[str]) -> None:
    """Sets `trainable = False` where `frozen_paths` had found it.

    Raises:
        ValueError: there is no such layer.
    """
    for path in paths:
        inside = list(layers)
        for name in path.split("/"):
            found = [layer for layer in inside if layer.name == name]
            if not found:
                raise ValueError(
                    f"Expected frozen to be paths of layers, as 'block1/unit_1', received {path!r}"
                )
            inside = found[0]._layers
        found[0].trainable = False
