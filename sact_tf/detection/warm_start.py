"""Starts a detector from a classifier, a backbone or another detector."""

from sact_tf.models.warm_start import copy_layer


def warm_start_detector(target, source):
    """See `FasterRCNN.warm_start`."""
    unused = tuple(f"{path}/" for path in target.unused_layers)
    uncovered = target.backbone.warm_start(source)
    backbone = getattr(source, "backbone", source)
    if target.backbone.halting_kind == backbone.halting_kind:
        uncovered = _copy_halting(target.backbone, backbone, uncovered)
    uncovered = [line for line in uncovered if not f"{_place(line)}/".startswith(unused)]
    if hasattr(source, "rpn"):
        copy_layer(target.rpn, source.rpn, "rpn", uncovered)
        copy_layer(target.box_head, source.box_head, "box_head", uncovered)
        return uncovered
    # It normalizes the very features that the next block's first unit does.
    first = target.box_block.units[0]
    if f"{target.box_block.name}/{first.name}" in map(_place, uncovered):
        uncovered.append("rpn/preact: the source has no such features")
    else:
        copy_layer(target.rpn.preact, first.preact, "rpn/preact", uncovered)
    uncovered += [f"rpn/{name}: the source has none" for name in ("conv", "scores", "boxes")]
    head = getattr(source, "head", None)
    is_last = target.box_block is target.backbone.blocks[-1]
    if is_last and hasattr(head, "postnorm"):
        copy_layer(target.box_head.postnorm, head.postnorm, "box_head/postnorm", uncovered)
    else:
        uncovered.append("box_head/postnorm: the source has none")
    return uncovered + [f"box_head/{name}: the source has none" for name in ("scores", "boxes")]


def _copy_halting(target, source, uncovered):
    """Copies halting scores by block and number; returns what is still uncovered."""
    theirs = {f"{b.name}/{score.name}": score for b in source.blocks for score in b.halting_scores}
    ours = {f"{b.name}/{score.name}": score for b in target.blocks for score in b.halting_scores}
    remaining = [line for line in uncovered if _place(line) not in ours.keys() & theirs.keys()]
    for place in sorted(ours.keys() & theirs.keys()):
        copy_layer(ours[place], theirs[place], place, remaining)
    return remaining


def _place(line):
    return line.split(":")[0]
