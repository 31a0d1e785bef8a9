"""Copies weights between networks that share layers, whatever their halting."""

from collections.abc import Mapping

import keras

from sact_tf.layers.halting_score import HaltingScore


def copy_layers(
    targets: Mapping[str, keras.layers.Layer],
    sources: Mapping[str, keras.layers.Layer],
    missing: str = "the source has none",
) -> dict[str, str]:
    """Copies the weights of each layer from the one at the same place of another network.

    Args:
        targets, sources: layers by place, as `block1/unit_2`.
        missing: the reason for places that the source does not have.

    Returns:
        Dict of the places that keep their own weights, with the reason.
    """
    uncovered = {}
    for place, target in targets.items():
        source = sources.get(place)
        if source is None:
            uncovered[place] = missing
        elif type(source) is not type(target):
            uncovered[place] = f"the source has a {type(source).__name__}"
        elif [weight.shape for weight in target.weights] != [w.shape for w in source.weights]:
            uncovered[place] = "shapes differ"
        else:
            for ours, theirs in zip(target.weights, source.weights, strict=True):
                ours.assign(keras.ops.cast(theirs, ours.dtype))
    return uncovered


def warm_start_backbone(
    target: keras.Model, source: keras.Model, halting: bool = False
) -> dict[str, str]:
    """Copies the stem and the units from another backbone, by block and number.

    Args:
        target, source: `ResNetBackbone`s.
        halting: whether halting scores are copied, too, where both halt in the same way.

    Returns:
        As `copy_layers`, in the order of the network.
    """
    uncovered: dict[str, str] = {}
    theirs = _layers(source)
    halting = halting and target.halting_kind == source.halting_kind
    for place, layer in _layers(target).items():
        if isinstance(layer, HaltingScore):
            sources, missing = theirs if halting else {}, "halting"
        else:
            sources, missing = theirs, "the source has no such unit"
        uncovered |= copy_layers({place: layer}, sources, missing)
    return uncovered


def _layers(backbone):
    """The layers of a backbone by place."""
    return {backbone.stem.name: backbone.stem} | {
        f"{block.name}/{layer.name}": layer
        for block in backbone.blocks
        for layer in (*block.units, *block.halting_scores)
    }
