"""Copies weights between networks that share layers, whatever their halting."""

from collections.abc import Mapping, Sequence

import keras

from sact_tf.errors import UserError
from sact_tf.layers.halting_score import HaltingScore
from sact_tf.models.class_names import matching_classes, shown_classes

_SHOWN = 3


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


def copy_classes(
    targets: Mapping[str, keras.layers.Layer],
    sources: Mapping[str, keras.layers.Layer],
    ours: Sequence[str],
    theirs: Sequence[str],
    background: Sequence[str] = (),
) -> dict[str, str]:
    """Copies what layers with one group of outputs per class know of the classes of the same name.

    Args:
        targets, sources: layers by place, whose weights have the outputs as last axis.
        ours, theirs: names of the classes.
        background: places that have one output for the background before those of the classes.

    Returns:
        As `copy_layers`; the reason names the classes that keep their own weights.
    """
    found = matching_classes(ours, theirs)
    if not found:
        reason = f"other classes there ({shown_classes(theirs)}) than here ({shown_classes(ours)})"
        return dict.fromkeys(targets, reason)
    uncovered = {}
    new = [name for number, name in enumerate(ours) if number not in found]
    for place, target in targets.items():
        pairs = list(zip(target.weights, sources[place].weights, strict=True))
        if any(mine.shape[:-1] != other.shape[:-1] for mine, other in pairs):
            uncovered[place] = "shapes differ"
            continue
        first = 1 if place in background else 0
        for mine, other in pairs:
            values, given = keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(other)
            values, width = values.copy(), (mine.shape[-1] - first) // len(ours)
            values[..., :first] = given[..., :first]
            for number, source in found.items():
                here, there = first + number * width, first + source * width
                values[..., here : here + width] = given[..., there : there + width]
            mine.assign(values)
        if new:
            uncovered[place] = f"{len(found)} classes by name; new: {shown_classes(new)}"
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

    Raises:
        UserError: nothing fits, neither the stem nor a unit, or the strides stand elsewhere; says
            what both networks are.
    """
    # Shapes would agree in many units, which yet compute something else.
    wanted_unit, found_unit = (net.get_config()["strided_unit"] for net in (target, source))
    if wanted_unit != found_unit:
        raise UserError(
            "a warm start from a network of another form: expected strides in the "
            f"{wanted_unit} unit of a stage, found them in the {found_unit} (the last: networks of "
            "keras.applications; the first: all others)"
        )
    uncovered: dict[str, str] = {}
    ours, theirs = _layers(target), _layers(source)
    halting = halting and target.halting_kind == source.halting_kind
    for place, layer in ours.items():
        if isinstance(layer, HaltingScore):
            sources, missing = theirs if halting else {}, "halting"
        else:
            sources, missing = theirs, "the source has no such unit"
        uncovered |= copy_layers({place: layer}, sources, missing)
    wanted = [place for place, layer in ours.items() if not isinstance(layer, HaltingScore)]
    # A head alone, or halting scores, are worth nothing on other features.
    if all(place in uncovered for place in wanted):
        reasons = "; ".join(f"{place}: {uncovered[place]}" for place in wanted[:_SHOWN])
        raise UserError(
            f"a warm start from a network of which nothing fits; looked for {_described(target)}, "
            f"found {_described(source)} ({reasons}{'; ...' if len(wanted) > _SHOWN else ''})"
        )
    return uncovered


def _described(backbone: keras.Model) -> str:
    config = backbone.get_config()
    units = "-".join(map(str, config["units"]))
    return (
        f"a stem {config['stem']!r} of {config['stem_channels']} channels for images of "
        f"{config['image_shape'][-1]} and {config['unit']} units {units} from "
        f"{config['base_channels']} channels on"
    )


def _layers(backbone):
    """The layers of a backbone by place."""
    return {backbone.stem.name: backbone.stem} | {
        f"{block.name}/{layer.name}": layer
        for block in backbone.blocks
        for layer in (*block.units, *block.halting_scores)
    }
