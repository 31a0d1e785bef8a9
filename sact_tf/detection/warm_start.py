"""Starts a detector from a classifier, a backbone or another detector."""

from sact_tf.models.warm_start import copy_layer


def warm_start_detector(target, source):
    """See `FasterRCNN.warm_start`."""
    unused = tuple(f"{path}/" for path in target.unused_layers)
    uncovered = [
        line
        for line in target.backbone.warm_start(source)
        if not (line.split(":")[0] + "/").startswith(unused)
    ]
    if hasattr(source, "rpn"):
        copy_layer(target.rpn, source.rpn, "rpn", uncovered)
        copy_layer(target.box_head, source.box_head, "box_head", uncovered)
        return uncovered
    # It normalizes the very features that the next block's first unit does.
    first = target.box_block.units[0]
    if any(line.startswith(f"{target.box_block.name}/{first.name}") for line in uncovered):
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
