"""Starts a detector from a classifier, a backbone or another detector."""

import keras

from sact_tf.models import ImageClassifier, ResNetBackbone
from sact_tf.models.warm_start import copy_classes, copy_layers


def warm_start_detector(target: keras.Model, source: keras.Model) -> dict[str, str]:
    """See `FasterRCNN.warm_start`."""
    unused = tuple(f"{path}/" for path in target.unused_layers)
    uncovered = {
        place: reason
        for place, reason in target.backbone.warm_start(source, halting=True).items()
        if not f"{place}/".startswith(unused)
    }
    rpn, head, block = target.rpn, target.box_head, target.box_block
    if not isinstance(source, ImageClassifier | ResNetBackbone):
        uncovered |= copy_layers({"rpn": rpn}, {"rpn": source.rpn})
        return uncovered | _copy_box_head(target, source)
    theirs = {}
    # It normalizes the very features that the next block's first unit does.
    first = block.units[0]
    if f"{block.name}/{first.name}" not in uncovered:
        theirs["rpn/preact"] = first.preact
    uncovered |= copy_layers(
        {"rpn/preact": rpn.preact}, theirs, missing="the source has no such features"
    )
    if isinstance(source, ImageClassifier) and block is target.backbone.blocks[-1]:
        theirs["box_head/postnorm"] = source.postnorm
    ours = {f"rpn/{name}": getattr(rpn, name) for name in ("conv", "scores", "boxes")}
    ours |= {f"box_head/{name}": getattr(head, name) for name in ("postnorm", "scores", "boxes")}
    return uncovered | copy_layers(ours, theirs)


def _copy_box_head(target: keras.Model, source: keras.Model) -> dict[str, str]:
    """Class by class, by name, where both detectors have names; else as a whole."""
    ours, theirs = target.class_names, source.class_names
    if ours is None or theirs is None or ours == theirs:
        return copy_layers({"box_head": target.box_head}, {"box_head": source.box_head})

    def layers(head, *names):
        return {f"box_head/{name}": getattr(head, name) for name in names}

    heads = target.box_head, source.box_head
    uncovered = copy_layers(*(layers(head, "postnorm") for head in heads))
    to, given = (layers(head, "scores", "boxes") for head in heads)
    return uncovered | copy_classes(to, given, ours, theirs, background=["box_head/scores"])
