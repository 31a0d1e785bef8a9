"""What the arguments of a detector may be."""

_POSITIVE_INTS = (
    "num_classes",
    "rpn_channels",
    "num_proposals",
    "proposal_candidates",
    "sampled_anchors",
    "sampled_regions",
    "crop_size",
    "max_detections",
)
_SHARES = ("proposal_iou", "score_threshold", "detection_iou")


def checked_feature_block(backbone, options):
    """Checks the options of a `FasterRCNN` by name, and resolves its `feature_block`.

    Args:
        backbone: a `ResNetBackbone`.
        options: dict of the other arguments.

    Returns:
        Name of the extractor's last block.

    Raises:
        ValueError: an option is none of those allowed.
    """
    for name in _POSITIVE_INTS:
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"Expected {name} to be a positive int, received {value!r}")
    for name in _SHARES:
        if not 0 <= options[name] < 1:
            raise ValueError(f"Expected {name} in [0, 1), received {options[name]!r}")
    for name in ("anchor_sizes", "aspect_ratios"):
        if not options[name] or any(not value > 0 for value in options[name]):
            raise ValueError(f"Expected {name} to be positive numbers, received {options[name]!r}")
    if not options["box_loss_weight"] >= 0:
        raise ValueError(
            f"Expected box_loss_weight to be >= 0, received {options['box_loss_weight']!r}"
        )
    names = options["class_names"]
    if names is not None and len(names) != options["num_classes"]:
        raise ValueError(
            f"Expected one class name for each of the {options['num_classes']} classes, received "
            f"{len(names)}"
        )
    return _feature_block(backbone.block_names, options["feature_block"])


def _feature_block(blocks, name):
    if len(blocks) < 2:
        raise ValueError(
            "Expected a backbone of two blocks or more, one for the box classifier, received one "
            f"of {len(blocks)}"
        )
    if name is None:
        return blocks[-2]
    if name not in blocks[:-1]:
        raise ValueError(
            f"Expected feature_block to be None or one of {blocks[:-1]} (the block after it is the "
            f"box classifier), received {name!r}"
        )
    return name
