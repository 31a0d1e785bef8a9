"""Copies weights between backbones that share units, whatever their halting."""

import keras


def copy_layer(target, source, path, uncovered):
    """Copies every weight of `source` into the layer of the same place in `target`.

    Args:
        target, source: layers of one structure.
        path: name of the place, for the report.
        uncovered: list that receives a line for each weight that was not copied.
    """
    if len(target.weights) != len(source.weights) or any(
        ours.shape != theirs.shape
        for ours, theirs in zip(target.weights, source.weights, strict=True)
    ):
        uncovered.append(f"{path}: shapes differ")
        return
    for ours, theirs in zip(target.weights, source.weights, strict=True):
        ours.assign(keras.ops.cast(theirs, ours.dtype))


def warm_start_backbone(target, source):
    """See `ResNetBackbone.warm_start`."""
    uncovered = []
    copy_layer(target.stem, source.stem, "stem", uncovered)
    for index, block in enumerate(target.blocks):
        theirs = source.blocks[index].units if index < len(source.blocks) else []
        for number, unit in enumerate(block.units):
            path = f"{block.name}/{unit.name}"
            if number >= len(theirs):
                uncovered.append(f"{path}: the source has no such unit")
            elif type(unit) is not type(theirs[number]):
                uncovered.append(f"{path}: the source has a {type(theirs[number]).__name__}")
            else:
                copy_layer(unit, theirs[number], path, uncovered)
        uncovered += [f"{block.name}/{score.name}: halting" for score in block.halting_scores]
    return uncovered
